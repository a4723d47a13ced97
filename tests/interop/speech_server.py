"""A voice and an ear from Debian's packages, as a server that speaks like the OpenAI API.

In: POST /v1/audio/transcriptions (pocketsphinx, a grammar of three digits), /v1/chat/completions (repeats what the caller
said), /v1/audio/speech (espeak-ng). Out: what the API answers; the chat streamed. Also on the command line:

    speech_server.py serve              prints "listening on PORT"
    speech_server.py say TEXT FILE      writes a WAV file
    speech_server.py hear FILE          prints the digits that are said in a WAV file of 8 kHz
"""

import array
import email.parser
import email.policy
import io
import json
import subprocess
import sys
import tempfile
import wave
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL = "/usr/share/pocketsphinx/model/en-us"
# Digits that a telephone line does not make alike: what tells six, seven and nine from others lies above 4 kHz.
GRAMMAR = """#JSGF V1.0;
grammar digits;
<digit> = zero | one | two | three | four | five | eight;
public <digits> = <digit> <digit> <digit>;
"""


def say(text):
    """A WAV file with `text` spoken slowly."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["espeak-ng", "-v", "en-us", "-s", "120", "-g", "12", "-w", file.name, text]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return file.read()


def hear(wav):
    """The digits in a WAV file of 8 kHz, or nothing."""
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        narrow = array.array("h", file.readframes(file.getnframes()))
    # The model wants 16 kHz.
    wide, before = array.array("h"), 0
    for sample in narrow:
        wide.extend([(before + sample) // 2, sample])
        before = sample
    with tempfile.NamedTemporaryFile(suffix=".wav") as audio, tempfile.NamedTemporaryFile("w", suffix=".gram") as grammar:
        with wave.open(audio.name, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            pause = bytes(16000)
            file.writeframes(pause + wide.tobytes() + pause)
        grammar.write(GRAMMAR)
        grammar.flush()
        command = ["pocketsphinx_continuous", "-infile", audio.name, "-jsgf", grammar.name, "-logfn", "/dev/null"]
        command += ["-hmm", MODEL + "/en-us", "-dict", MODEL + "/cmudict-en-us.dict"]
        heard = subprocess.run(command, check=True, capture_output=True, text=True)
    return " ".join(heard.stdout.split())


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = self.headers["Content-Length"]
        body = self.rfile.read(int(length)) if length else self.chunks()
        if self.path.endswith("/audio/transcriptions"):
            text = hear(self.part(body, "file"))
            print("heard:", text, flush=True)
            self.answer("application/json", json.dumps({"text": text}).encode())
        elif self.path.endswith("/chat/completions"):
            said = json.loads(body)["messages"][-1]["content"]
            self.answer("text/event-stream", self.events(said + "."))
        elif self.path.endswith("/audio/speech"):
            text = json.loads(body)["input"]
            print("says:", text, flush=True)
            self.answer("audio/wav", say(text))
        else:
            self.send_error(404)

    def chunks(self):
        """A body in chunks (RFC 9112 section 7.1)."""
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def part(self, body, name):
        """One part of a form."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        for part in form.iter_parts():
            if part.get_param("name", header="content-disposition") == name:
                return part.get_payload(decode=True)
        raise ValueError(f"no part {name}")

    @staticmethod
    def events(text):
        deltas = [{"role": "assistant", "content": ""}] + [{"content": word + " "} for word in text.split()]
        events = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode() + b"data: [DONE]\n\n"

    def answer(self, media_type, body):
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        pass


def main():
    match sys.argv[1:]:
        case ["serve"]:
            server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
            print("listening on", server.server_port, flush=True)
            server.serve_forever()
        case ["say", text, path]:
            with open(path, "wb") as file:
                file.write(say(text))
        case ["hear", path]:
            with open(path, "rb") as file:
                print(hear(file.read()))
        case _:
            sys.exit(__doc__)


main()
