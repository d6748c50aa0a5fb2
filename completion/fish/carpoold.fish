# Made by completion/generate from what `carpoold --help` says: do not edit.

complete -c carpoold -f
complete -c carpoold -s c -l config -r -F -d 'the policy; without it /usr/local/etc/carpool/carpool.yaml'
complete -c carpoold -s t -l test-config -d 'check the configuration and exit'
complete -c carpoold -s l -l listen -x -d 'listen here instead of where the file says: host:port,'
complete -c carpoold -l print-config -d 'print the effective configuration and exit'
complete -c carpoold -s V -l version -d 'print the version and exit'
complete -c carpoold -s h -l help -d 'print this and exit'
