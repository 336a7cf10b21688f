"""Runs a handler for ratchet: JSON lines on stdin and stdout. Started as `python3 -c <this> <file>`."""
import inspect
import json
import math
import os
import queue
import sys
import threading
import traceback
import types

FIELDS = ("output", "expected", "input", "metadata", "tags", "trace")

# The two ends of the protocol move away from descriptors 0 and 1, so that a handler that prints or reads, in Python,
# in C or in a child process, can't disturb it.
requests = os.fdopen(os.dup(0), "rb")
replies = os.fdopen(os.dup(1), "wb")
nothing = os.open(os.devnull, os.O_RDONLY)
os.dup2(nothing, 0)
os.dup2(2, 1)
sys.stdout = sys.stderr


class Unusable(Exception):
    """The file can be loaded, but its handler can't be called."""


def send(message):
    replies.write(json.dumps(message).encode("ascii") + b"\n")
    replies.flush()


def text(value):
    """As text that is valid in any encoding and not endless."""
    return str(value).encode("utf-8", "replace").decode("utf-8")[:2000]


def describe(error, path):
    """Type, message and the last line of the user's file that took part."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return f"{type(error).__name__}: {text(error.msg)} ({path}, line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    where = f" ({path}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text(error)}{where}"


def load(path):
    """The handler, the names it is given by position and by keyword, and whether it must have `expected`."""
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    module = types.ModuleType("ratchet_scorer")
    module.__file__ = path
    sys.modules[module.__name__] = module
    exec(code, module.__dict__)
    handler = getattr(module, "handler", None)
    if not callable(handler):
        raise Unusable(f"{path} has no function `handler`; write `def handler(output, expected):`")
    if inspect.iscoroutinefunction(handler):
        raise Unusable(f"`handler` in {path} is async; write a plain `def handler(output, expected):`")
    positional, keywords, needs_expected = [], [], False
    for name, parameter in inspect.signature(handler).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            keywords += [field for field in FIELDS if field not in positional + keywords]
        elif name in FIELDS:
            (positional if parameter.kind is parameter.POSITIONAL_ONLY else keywords).append(name)
            if name == "expected" and parameter.default is parameter.empty:
                needs_expected = True
        elif parameter.default is parameter.empty:
            raise Unusable(f"`handler` in {path} takes `{name}`; it can take {', '.join(FIELDS)}")
    return handler, positional, keywords, needs_expected


def modules(path):
    """What was imported from the folder of the file, relative to that: not from an environment that lies within it."""
    folder = os.path.dirname(os.path.abspath(path)) + os.sep
    installed = tuple(place + os.sep for place in sys.path if place.startswith(folder))
    loaded = [os.path.abspath(module.__file__) for module in list(sys.modules.values())
              if isinstance(getattr(module, "__file__", None), str)]
    own = [file for file in loaded if file.startswith(folder) and not file.startswith(installed)]
    return sorted({os.path.relpath(file, folder) for file in own} - {os.path.basename(path)})


def read(result):
    """Value and reason of what a handler returned: a number or bool, (value, reason), or {"score", "reason"}."""
    reason = None
    value = result
    if isinstance(result, dict):
        value, reason = result.get("score"), result.get("reason")
    elif isinstance(result, tuple) and len(result) == 2:
        value, reason = result
    try:
        # Strings such as "0.5" would pass as numbers, and hide a mistake.
        number = math.nan if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"handler returned {text(repr(result))[:200]}; it must return a number from 0 to 1")
    return number, None if reason is None else text(reason)


def lines():
    """The requests. Who asked is gone when they end, and with them the process, also in the middle of a row."""
    waiting = queue.SimpleQueue()

    def take():
        for line in requests:
            waiting.put(line)
        os._exit(0)

    threading.Thread(target=take, daemon=True).start()
    while True:
        yield waiting.get()


def main():
    path = sys.argv[1]
    try:
        handler, positional, keywords, needs_expected = load(path)
    except Unusable as error:
        return send({"failed": text(error)})
    except BaseException as error:
        return send({"failed": describe(error, path)})
    send({"wants": positional + keywords, "needs_expected": needs_expected, "modules": modules(path)})
    for line in lines():
        row = json.loads(line)
        reply = {"id": row["id"]}
        try:
            result = handler(*[row[name] for name in positional], **{name: row[name] for name in keywords})
        except BaseException as error:
            reply["error"] = describe(error, path)
        else:
            try:
                reply["score"], reply["reason"] = read(result)
            except ValueError as error:
                reply["error"] = text(error)
        send(reply)


main()
