#!/usr/bin/env python3
"""A bot for Twilio Media Streams that knows nothing of SIP: it says back what it hears, half a second later.

    pip install "websockets>=13"
    python3 examples/twilio_bot.py [PORT]
    AGENT_STREAM_URL=ws://127.0.0.1:8765/ws cargo run --release

Behind Twilio it is the target of <Connect><Stream url="wss://..."/>; behind the relay, unchanged, of AGENT_STREAM_URL.
The key * makes it stop talking, # makes it hang up. With TWILIO_AUTH_TOKEN it talks with those alone who know the token.
"""
import asyncio
import base64
import hashlib
import hmac
import json
import os
import sys

from websockets.asyncio.server import serve

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
TOKEN = os.environ.get("TWILIO_AUTH_TOKEN")
DELAY = 25  # messages of 20 ms
BEEP = bytes([0x80] * 8 + [0x00] * 8) * 100  # 0.2 s of 500 Hz, in µ-law


def check(connection, request):
    """Refuses an upgrade that was not signed with the token."""
    if TOKEN is None:
        return None
    url = f"wss://{request.headers['Host']}{request.path}"
    expected = base64.b64encode(hmac.new(TOKEN.encode(), url.encode(), hashlib.sha1).digest()).decode()
    if hmac.compare_digest(expected, request.headers.get("X-Twilio-Signature", "")):
        return None
    return connection.respond(403, "wrong signature\n")


async def talk(socket):
    stream, heard = None, []

    async def say(event, **fields):
        await socket.send(json.dumps({"event": event, "streamSid": stream, **fields}))

    async def play(payload):
        await say("media", media={"payload": payload})

    async for message in socket:
        message = json.loads(message)
        event = message["event"]
        if event == "start":
            stream = message["streamSid"]
            print("start", json.dumps(message["start"]["customParameters"]), flush=True)
            await play(base64.b64encode(BEEP).decode())
            await say("mark", mark={"name": "beep"})
        elif event == "media":
            heard.append(message["media"]["payload"])
            if len(heard) > DELAY:
                await play(heard.pop(0))
        elif event == "mark":
            print("played", message["mark"]["name"], flush=True)
        elif event == "dtmf":
            digit = message["dtmf"]["digit"]
            print("digit", digit, flush=True)
            if digit == "*":
                heard.clear()
                await say("clear")
            elif digit == "#":
                break
        elif event == "stop":
            print("stop", flush=True)
    print("over", flush=True)


async def main():
    async with serve(talk, "127.0.0.1", PORT, process_request=check) as server:
        print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.Future()


asyncio.run(main())
