#!/usr/bin/env python3
"""Answers every call and says back what it hears, a second later.

    pip install websockets
    python3 examples/echo_bot.py [ws://127.0.0.1:8080/]

In multi mode a received RTP line has the form of a sent one, so echoing is sending the line back.
"""
import asyncio
import sys

import websockets

URL = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8080/"
DELAY = 50  # lines of 20 ms


async def main():
    async with websockets.connect(URL + "?mode=multi", max_size=None) as relay:
        heard = {}
        async for line in relay:
            verb, _, rest = line.partition(":")
            call = rest.split("##")[0]
            if verb == "RTP":
                heard.setdefault(call, []).append(line)
                if len(heard[call]) > DELAY:
                    await relay.send(heard[call].pop(0))
                continue
            print(line, flush=True)
            if verb == "BYE":
                heard.pop(call, None)


asyncio.run(main())
