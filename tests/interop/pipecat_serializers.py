"""Pipecat's serializers for Twilio and Telnyx, one order a line on stdin, one answer a line on stdout, both JSON.

    {"do": "new", "provider": "twilio" | "telnyx", "stream": ID, "encoding": "PCMU" | "PCMA"}
    {"do": "read", "text": MESSAGE}        a message from the provider: the frame that pipecat makes of it
    {"do": "say", "pcm": BASE64}           16 bit, 16000 Hz: the message that pipecat sends, or null
    {"do": "interrupt"}                    the caller interrupts: the message that pipecat sends
    {"do": "send", "message": OBJECT}      a message of the application's own: as pipecat sends it
"""
import asyncio
import base64
import json
import sys

from pipecat.frames.frames import (
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageFrame,
)
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.serializers.twilio import TwilioFrameSerializer

RATE = 16000


def new(order):
    if order["provider"] == "twilio":
        params = TwilioFrameSerializer.InputParams(sample_rate=RATE, auto_hang_up=False)
        return TwilioFrameSerializer(order["stream"], params=params)
    params = TelnyxFrameSerializer.InputParams(sample_rate=RATE, auto_hang_up=False)
    return TelnyxFrameSerializer(order["stream"], order["encoding"], order["encoding"], params=params)


class Setup:
    audio_in_sample_rate = RATE


def shown(frame):
    if isinstance(frame, InputAudioRawFrame):
        return {"frame": "audio", "rate": frame.sample_rate, "pcm": base64.b64encode(frame.audio).decode()}
    if isinstance(frame, InputDTMFFrame):
        return {"frame": "dtmf", "digit": frame.button.value}
    return None


async def main():
    serializer = None
    for line in sys.stdin:
        order = json.loads(line)
        match order["do"]:
            case "new":
                serializer = new(order)
                await serializer.setup(Setup())
                answer = "ready"
            case "read":
                answer = shown(await serializer.deserialize(order["text"]))
            case "say":
                pcm = base64.b64decode(order["pcm"])
                answer = await serializer.serialize(OutputAudioRawFrame(pcm, RATE, 1))
            case "interrupt":
                answer = await serializer.serialize(InterruptionFrame())
            case "send":
                answer = await serializer.serialize(OutputTransportMessageFrame(order["message"]))
        print(json.dumps(answer), flush=True)


asyncio.run(main())
