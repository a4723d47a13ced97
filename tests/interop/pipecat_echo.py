"""A gateway made of pipecat's serializer for Twilio: says back what it hears, and whether it is well.

    python pipecat_echo.py PORT
"""
import asyncio
import json
import sys
from http import HTTPStatus

from pipecat.frames.frames import InputAudioRawFrame, OutputAudioRawFrame
from pipecat.serializers.twilio import TwilioFrameSerializer
from websockets.asyncio.server import serve


class Setup:
    audio_in_sample_rate = 8000


def health(connection, request):
    if request.path != "/sip/media-stream":
        response = connection.respond(HTTPStatus.OK, json.dumps({"status": "ok", "dids": [], "ollama": False}))
        response.headers["Connection"] = "close"
        return response
    return None


async def talk(socket):
    assert json.loads(await socket.recv())["protocol"] == "Call"
    start = json.loads(await socket.recv())["start"]
    print("start", start["callSid"], start["customParameters"], flush=True)
    params = TwilioFrameSerializer.InputParams(auto_hang_up=False)
    serializer = TwilioFrameSerializer(start["streamSid"], params=params)
    await serializer.setup(Setup())
    async for message in socket:
        frame = await serializer.deserialize(message)
        if isinstance(frame, InputAudioRawFrame):
            echo = OutputAudioRawFrame(frame.audio, frame.sample_rate, 1)
            await socket.send(await serializer.serialize(echo))
        elif json.loads(message)["event"] == "stop":
            print("stop", flush=True)


async def main():
    async with serve(talk, "127.0.0.1", int(sys.argv[1]), process_request=health):
        print("listening", flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
