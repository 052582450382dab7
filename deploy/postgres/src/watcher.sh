linger=$1 answer=$2 temporary=$3
shift 3
trap '' HUP INT TERM
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
{
    idle=0
    while [ "$idle" -le "$linger" ]; do
        if read -r line <&3; then
            idle=0
            true >"$answer"
        else
            idle=$((idle + 1))
            sleep 0.1 3<&-
        fi
    done
    exec 3<&-
    kill -INT "$server"
    waited=0
    while [ "$waited" -lt 100 ]; do
        waited=$((waited + 1))
        sleep 0.1
    done
    kill -QUIT "$server"
} &
watch=$!
exec 3<&-
wait "$server"
status=$?
{
    kill -KILL "$watch"
    wait "$watch"
} 2>/dev/null
if [ -n "$temporary" ]; then rm -rf "$temporary"; fi
exit "$status"
