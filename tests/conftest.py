"""Stands here so that pytest puts this folder in the path: whichever of the others is run, alone too, they find each other."""

import resource

# Some tests have a thousand connections, and their own ends of them are here. Most systems start with a limit of 1024.
WANTED_DESCRIPTORS = 20000
_now, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
if _now < WANTED_DESCRIPTORS:
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(WANTED_DESCRIPTORS, _most), _most))
