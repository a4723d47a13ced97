#!/usr/bin/env python3
"""Calls one number after the other, plays a file of the output folder to whoever answers, and hangs up after it.

    pip install websockets
    python3 examples/auto_dialler.py message.wav 0912341234 0912340486 [--url ws://127.0.0.1:8080/]
"""
import argparse
import asyncio

import websockets


async def call(relay, number, file):
    """One call; returns how it went. The lines of other calls that the relay carries meanwhile are not ours."""
    await relay.send(f"CALL:{number}")
    own, outcome = None, "no answer"
    async for line in relay:
        verb, _, rest = line.partition(":")
        fields = rest.split("##")
        if verb == "CALLING" and fields[0] == number:
            own = fields[1]
        elif verb == "CALL_FAILED" and (len(fields) < 2 or fields[1] == own):
            return fields[0]
        elif verb == "ERROR":
            outcome = f"not played: {rest}"
        elif fields[0] != own:
            continue
        elif verb == "CALL_ANS":
            print(number, "answered", flush=True)
            await relay.send(f"PLAY:{own}##{file}")
            await relay.send(f"HANGUP:{own}##drain")
            outcome = "played"
        elif verb == "BYE":
            return outcome
    return "the relay is gone"


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="audio file, relative to OUTPUT_DIR")
    parser.add_argument("numbers", nargs="+")
    parser.add_argument("--url", default="ws://127.0.0.1:8080/")
    args = parser.parse_args()
    async with websockets.connect(args.url + "?mode=multi", max_size=None) as relay:
        await relay.send("UNSUBSCRIBE:*")
        for number in args.numbers:
            print(number, "calling", flush=True)
            print(number, await call(relay, number, args.file), flush=True)


asyncio.run(main())
