# Completes the words of wsd-ctl. Made by `wsd-ctl completion bash`.
_wsd_ctl() {
    local word=${COMP_WORDS[COMP_CWORD]} command='' candidates='' i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --spool | --timeout) ((i++)) ;;
            -*) ;;
            *) command=${COMP_WORDS[i]}; break ;;
        esac
    done
    case $command in
        '') candidates='--spool --json --timeout --no-answer --quiet --verbose --version --help status list show send broadcast ping close handler call log-level reload drain undrain stop version help connect bench spool completion' ;;
        status) candidates='--json --no-answer' ;;
        list) candidates='--subprotocol --handler --peer --sort --reverse --limit --json --no-answer' ;;
        show) candidates='--json --no-answer' ;;
        send) candidates='--binary --json --no-answer' ;;
        broadcast) candidates='--subprotocol --topic --binary --json --no-answer' ;;
        ping) candidates='--all --json --no-answer' ;;
        close) candidates='--all --code --reason --json --no-answer' ;;
        handler) candidates='list load unload reload --json --no-answer --to-default --all' ;;
        call) candidates='--json --no-answer' ;;
        log-level) candidates='--json --no-answer' ;;
        reload) candidates='--json --no-answer' ;;
        drain) candidates='--json --no-answer' ;;
        undrain) candidates='--json --no-answer' ;;
        stop) candidates='--json --no-answer' ;;
        version) candidates='--json --no-answer' ;;
        help) candidates='--json --no-answer' ;;
        connect) candidates='--subprotocol --origin --host --text --binary --whole --delimiter --slash --hex --json --count --wait --timeout --verbose' ;;
        bench) candidates='--mode --connections --size --in-flight --rate --duration --warm-up --text --binary --server-pid --subprotocol --origin --timeout --json --quiet' ;;
        spool) candidates='--spool --json' ;;
        completion) candidates='bash zsh fish' ;;
    esac
    COMPREPLY=($(compgen -W "$candidates" -- "$word"))
}
complete -o bashdefault -o default -F _wsd_ctl wsd-ctl
