"""A tenants' desk: routes a message, looks the desk up, and decides how fast somebody answers.

Started once by Ratchet as a worker: a request line on stdin, an answer line on stdout. Its model calls go to
OPENAI_BASE_URL, which Ratchet sets; any OpenAI client would do, and this one needs none.
"""

import json
import os
import sys
import urllib.request

DESKS = {
    "repairs": "0700-1",
    "rent": "0700-2",
    "neighbours": "0700-3",
    "contracts": "0700-4",
}
REPLIES = {
    "urgent": "We call you back within the hour; the night line is {phone}.",
    "standard": "You hear from us within two working days; for questions call {phone}.",
}


def ask(step, messages):
    """One model call; `step` is what it is called in the trace."""
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        data=json.dumps({"messages": messages}).encode(),
        headers={
            "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"],
            "Content-Type": "application/json",
            "X-Ratchet-Step": step,
        },
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)["choices"][0]["message"]["content"].strip()


def answer(prompts):
    """The reply, and the steps that led to it."""
    desk = ask("route", prompts["route"]["messages"])
    trace = [{"name": "route", "output": desk}]
    if desk not in DESKS:
        trace.append({"name": "lookup", "input": desk, "error": "there is no such desk"})
        return "We could not place your message.", trace
    trace.append({"name": "lookup", "input": desk, "output": DESKS[desk]})
    pace = ask("answer", prompts["answer"]["messages"])
    trace.append({"name": "answer", "output": pace})
    reply = REPLIES.get(pace, REPLIES["standard"]).format(phone=DESKS[desk])
    return f"{desk}: {reply}", trace


def main():
    for line in sys.stdin:
        row = json.loads(line)
        reply = {"id": row["id"]}
        try:
            reply["output"], reply["trace"] = answer(row["prompts"])
        except Exception as error:
            reply["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(reply), flush=True)


main()
