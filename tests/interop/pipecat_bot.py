"""A bot as pipecat's documents write one for Twilio, unchanged: it says back what it hears, and hangs up on the key #.

    pip install 'pipecat-ai[websocket]' uvicorn websockets
    python pipecat_bot.py PORT [URL of Twilio's REST API]

Without the URL the bot hangs up by closing the stream; with it, as it does at Twilio, by a request to the REST API.
"""
import os
import sys

import uvicorn
from fastapi import FastAPI, WebSocket
from pipecat.frames.frames import EndWorkerFrame, InputAudioRawFrame, InputDTMFFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport

REST = sys.argv[2] if len(sys.argv) > 2 else None
app = FastAPI()


class Echo(FrameProcessor):
    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            echo = OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels)
            await self.push_frame(echo, direction)
        elif isinstance(frame, InputDTMFFrame):
            print("digit", frame.button.value, flush=True)
            if frame.button.value == "#":
                await self.push_frame(EndWorkerFrame(), FrameDirection.UPSTREAM)
        else:
            await self.push_frame(frame, direction)


@app.websocket("/ws")
async def talk(websocket: WebSocket):
    await websocket.accept()
    provider, call = await parse_telephony_websocket(websocket)
    print("call", provider, call["body"], flush=True)
    serializer = TwilioFrameSerializer(
        stream_sid=call["stream_id"],
        call_sid=call["call_id"],
        account_sid=os.environ.get("TWILIO_ACCOUNT_SID"),
        auth_token=os.environ.get("TWILIO_AUTH_TOKEN"),
        base_url=REST,
        params=TwilioFrameSerializer.InputParams(auto_hang_up=REST is not None),
    )
    transport = FastAPIWebsocketTransport(
        websocket,
        FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, serializer=serializer),
    )
    rates = PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000)
    task = PipelineTask(Pipeline([transport.input(), Echo(), transport.output()]), params=rates)

    @transport.event_handler("on_client_disconnected")
    async def gone(transport, websocket):
        print("stream over", flush=True)
        await task.cancel()

    await PipelineRunner(handle_sigint=False).run(task)
    print("call over", flush=True)


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="info")
