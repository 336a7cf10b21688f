#!/bin/sh
# The same agent in shell, with jq and curl: ratchet eval --set 'target.command=["./agent.sh"]'
# It reports no steps of its own but the lookup; its model calls become steps by themselves.

ask() { # STEP: the answer to the prompt of that name
    printf '%s' "$line" | jq -c --arg name "$1" '{messages: .prompts[$name].messages}' |
        curl -sS --fail-with-body "$OPENAI_BASE_URL/chat/completions" --data-binary @- \
            -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" -H "X-Ratchet-Step: $1" |
        jq -r '.choices[0].message.content'
}

while read -r line; do
    id=${line#*:}
    id=${id%%,*}
    desk=$(ask route)
    case $desk in
    repairs) phone=0700-1 ;;
    rent) phone=0700-2 ;;
    neighbours) phone=0700-3 ;;
    contracts) phone=0700-4 ;;
    *)
        printf '{"id": %s, "output": "We could not place your message.", "trace": [{"name": "route"}, {"name": "lookup", "error": "there is no such desk"}]}\n' "$id"
        continue
        ;;
    esac
    pace=$(ask answer)
    case $pace in
    urgent) reply="We call you back within the hour; the night line is $phone." ;;
    *) reply="You hear from us within two working days; for questions call $phone." ;;
    esac
    printf '{"id": %s, "output": "%s: %s", "trace": [{"name": "route"}, {"name": "lookup", "output": "%s"}, {"name": "answer"}]}\n' \
        "$id" "$desk" "$reply" "$phone"
done
