"""Stands here so that pytest puts this folder in the path: whichever of the others is run, alone too, they find each other."""
