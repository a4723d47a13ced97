#!/usr/bin/env python3
"""Calls one number after the other, plays a file of the output folder to whoever answers, and hangs up after it.

    pip install websockets
    python3 examples/auto_dialler.py message.wav 0912341234 0912340486 [--url ws://127.0.0.1:8080/]
"""
import argparse
import asyncio

import websockets


async def call(relay, number, file):
    """One call; returns how it went."""
    await relay.send(f"CALL:{number}")
    played = "no answer"
    async for line in relay:
        verb, _, rest = line.partition(":")
        if verb == "CALL_ANS":
            await relay.send(f"PLAY:{rest}##{file}")
            await relay.send(f"HANGUP:{rest}##drain")
            played = "played"
        elif verb == "ERROR":
            played = f"not played: {rest}"
        elif verb == "CALL_FAILED":
            return rest.split("##")[0]
        elif verb == "BYE":
            return played
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
            print(number, await call(relay, number, args.file), flush=True)


asyncio.run(main())
