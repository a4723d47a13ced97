//! Calls a number, plays a file to it, and writes what it says to another one.
//!
//! ```text
//! cargo run --example stream_audio                             plays a tone to a telephone inside this program
//! cargo run --example stream_audio -- speech.wav heard.wav     plays a file to it: WAV, MP3, FLAC, Ogg or AAC
//! cargo run --example stream_audio -- speech.wav heard.wav 192.168.1.170 1001 password 1002       through a PBX
//! ```

use std::{
    env,
    f32::consts::TAU,
    fs,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use hound::{SampleFormat, WavSpec, WavWriter};
use sip_relay::{
    client::{AudioFormat, blocking::SimpleSipClient},
    test_line::TestLine,
};

const RATE: u32 = 8000;

#[allow(clippy::print_stdout)] // A program for people.
fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (files, pbx) = arguments.split_at(arguments.len().min(2));
    let speech = files.first().map_or_else(|| Ok(tone()), |file| decode(file))?;
    let heard = files.get(1).copied().unwrap_or("heard.wav");
    let (client, number) = match pbx {
        [] => {
            let line = TestLine::start_in_background()?;
            let client = SimpleSipClient::builder("1001", "", "127.0.0.1").port(line.address().port());
            (SimpleSipClient::from(client.register(false)), "0912341234")
        }
        [server, user, password, number] => (SimpleSipClient::new(user, password, server), *number),
        _ => anyhow::bail!("usage: stream_audio [PLAY [WRITE [SERVER USER PASSWORD NUMBER]]]"),
    };

    // In place of a loudspeaker. The callback has a thread of its own and may take its time.
    let spec =
        WavSpec { channels: 1, sample_rate: RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let recording = Arc::new(Mutex::new(Some(WavWriter::create(heard, spec)?)));
    let writer = recording.clone();
    client.set_audio_callback(
        move |pcm, _| {
            let mut writer = writer.lock().expect("nothing panics with the file");
            let samples = pcm.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
            if let Some(file) = writer.as_mut() {
                samples.for_each(|sample| file.write_sample(sample).expect("the disk has room"));
            }
        },
        AudioFormat::Pcm,
    );

    anyhow::ensure!(client.connect()?, "the server does not want us: {:?}", client.last_failure());
    client.make_call(number)?;
    client.wait_connected(Duration::from_secs(60))?;
    println!("connected, {}", client.call_status());

    // In place of a microphone. Any length will do: the client plays it at its pace.
    for chunk in speech.chunks(client.audio_config().frame_size) {
        let pcm: Vec<u8> = chunk.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        client.send_audio(&pcm)?;
    }
    let length = Duration::from_secs(1) * u32::try_from(speech.len())? / RATE;
    println!("playing {length:?}");
    thread::sleep(length + Duration::from_secs(1));

    client.disconnect()?;
    client.remove_audio_callback();
    let file = recording.lock().expect("nothing panics with the file").take();
    let samples = file.as_ref().map_or(0, WavWriter::duration);
    file.map(WavWriter::finalize).transpose()?;
    println!("heard {:.1} s, in {heard}", f64::from(samples) / f64::from(RATE));
    Ok(())
}

/// Five seconds of 440 Hz.
fn tone() -> Vec<i16> {
    (0..5 * RATE).map(|n| (8000.0 * (TAU * 440.0 * n as f32 / RATE as f32).sin()) as i16).collect()
}

/// An audio file as 8 kHz mono.
fn decode(file: &str) -> anyhow::Result<Vec<i16>> {
    let extension = Path::new(file).extension().and_then(|extension| extension.to_str());
    let content = fs::read(file).map_err(|error| anyhow::anyhow!("{file}: {error}"))?;
    Ok(audio::file::decode_at(content.into(), extension, RATE)?.samples)
}
