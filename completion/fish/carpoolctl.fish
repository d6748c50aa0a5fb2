# Made by completion/generate from what `carpoolctl --help` says: do not edit.

complete -c carpoolctl -f
complete -c carpoolctl -s s -l server -x -d 'the admin listener: host:port, a URL, or unix:/path'
complete -c carpoolctl -s j -l json -d 'print what the admin API said'
complete -c carpoolctl -s w -l wide -d 'status, agents: also why connections were closed'
complete -c carpoolctl -s p -l patch -r -F -d 'advise: print a patch of this configuration file'
complete -c carpoolctl -s V -l version -d 'print the version'
complete -c carpoolctl -s h -l help -d 'print this; after a command, help on that command'
complete -c carpoolctl -n __fish_use_subcommand -a status -d 'what is wrong, then a table of the pools, the worst first'
complete -c carpoolctl -n __fish_use_subcommand -a top -d 'what status shows, live, with rates'
complete -c carpoolctl -n __fish_use_subcommand -a agents -d 'one row per agent; with NAME, everything about that one'
complete -c carpoolctl -n __fish_use_subcommand -a errors -d 'how often each error occurred, and the latest ones'
complete -c carpoolctl -n __fish_use_subcommand -a callers -d 'who uses Carpool, the busiest first (option callers)'
complete -c carpoolctl -n __fish_use_subcommand -a explain -d 'why connections are opened, what waits, and what to change'
complete -c carpoolctl -n __fish_use_subcommand -a advise -d 'what to change, as YAML to paste or (--patch) as a patch'
complete -c carpoolctl -n __fish_use_subcommand -a drain -d 'close free connections now, active ones when they finish'
complete -c carpoolctl -n __fish_use_subcommand -a pause -d 'hold new requests of this agent until resume'
complete -c carpoolctl -n __fish_use_subcommand -a resume -d 'end the pause; requests go on, the oldest first'
complete -c carpoolctl -n __fish_use_subcommand -a reload -d 'read the configuration again'
complete -c carpoolctl -n __fish_use_subcommand -a config -d 'the configuration in force, as YAML'
complete -c carpoolctl -n __fish_use_subcommand -a version -d 'versions of carpoolctl and of the daemon'
complete -c carpoolctl -n __fish_use_subcommand -a ca -d 'what a CA may sign for, and until when'
complete -c carpoolctl -n __fish_use_subcommand -a run -d 'start a command that uses Carpool and trusts its CA'

# The agents of the daemon that the options given here name; nothing when it does not answer.
function __carpoolctl_agents
    set -l words (commandline -opc)
    set -l server
    while set -q words[2]
        switch $words[1]
            case -s --server
                set server -s $words[2]
        end
        set -e words[1]
    end
    carpoolctl $server agents 2>/dev/null | awk 'NR == 1 { next } !NF { exit } { print $1 }'
end

complete -c carpoolctl -n '__fish_seen_subcommand_from agents errors explain drain pause resume' -a '(__carpoolctl_agents)'
complete -c carpoolctl -n '__fish_seen_subcommand_from run' -a '(__fish_complete_subcommand --fcs-skip=3)'
complete -c carpoolctl -n '__fish_seen_subcommand_from ca' -a 'create show'
