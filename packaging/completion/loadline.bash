# Completion of loadline for bash, with the package bash-completion.
# Written by docs/completion.py from the table of options in README.md.
# shellcheck shell=bash disable=SC2207

_loadline() {
    local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} at
    # bash splits --option=value into three words.
    [ "$word" != = ] || word=
    [ "$option" != = ] || option=${COMP_WORDS[COMP_CWORD - 2]}
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${COMP_WORDS[at]} in
        --) ((at++)) && break ;;
        --memory|--cpu|--memory-ratio|--memory-reserve|--memory-min|--memory-limit|--cpu-limit|--cpu-min|--cpu-rounding|-p|-e|--rewrite|--stop-delay|--kill-after|--drain|--on-resize|--termination-log|--install|--root) [ "${COMP_WORDS[at + 1]}" = = ] || ((at++)) ;;
        =) ((at++)) ;;
        -*) ;;
        *) break ;;
        esac
    done
    COMPREPLY=()
    # The program and its arguments are completed as they are without loadline.
    if ((at < COMP_CWORD)) || { ((at == COMP_CWORD)) && [[ $word != -* ]]; }; then
        _command_offset "$at"
        return
    fi
    case $option in
    --memory) COMPREPLY=($(compgen -W 'auto cap always off' -- "$word")) && return ;;
    --cpu) COMPREPLY=($(compgen -W 'auto static live off' -- "$word")) && return ;;
    --cpu-rounding) COMPREPLY=($(compgen -W 'up down' -- "$word")) && return ;;
    --on-resize) COMPREPLY=($(compgen -W 'ignore log exit' -- "$word")) && return ;;
    --report) COMPREPLY=($(compgen -W 'text json' -- "$word")) && return ;;
    --termination-log) compopt -o default && return ;;
    --explain) COMPREPLY=($(compgen -W 'text json env' -- "$word")) && return ;;
    --inspect) COMPREPLY=($(compgen -W 'text json' -- "$word")) && return ;;
    --install) compopt -o dirnames && return ;;
    --root) compopt -o dirnames && return ;;
    esac
    [[ $word != -* ]] || COMPREPLY=($(compgen -W '--memory --cpu --memory-ratio --memory-reserve --memory-min --memory-limit --cpu-limit --cpu-min --cpu-rounding --exec -s -g -p -e -w -v --rewrite --stop-delay --kill-after --wait-all --drain --on-resize --memory-warn --report --termination-log --explain --inspect --install --root --help --version' -- "$word"))
}
complete -F _loadline loadline
