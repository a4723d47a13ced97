//! Calls a number, tells how that goes, and hangs up after five seconds.
//!
//! ```text
//! cargo run --example basic_call                                            a telephone inside this program
//! cargo run --example basic_call -- 192.168.1.170 1001 password 1002        through a PBX: server, user, password, number
//! ```

use std::{env, thread, time::Duration};

use sip_relay::{client::blocking::SimpleSipClient, test_line::TestLine};

#[allow(clippy::print_stdout)] // A program for people.
fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (client, number) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            // Calls to numbers that end in 486 are busy there, others are answered: README.md has the list.
            let line = TestLine::start_in_background()?;
            let client = SimpleSipClient::builder("1001", "", "127.0.0.1").port(line.address().port());
            (SimpleSipClient::from(client.register(false)), "0912341234")
        }
        [server, user, password, number] => (SimpleSipClient::new(user, password, server), number),
        _ => anyhow::bail!("usage: basic_call [SERVER USER PASSWORD NUMBER]"),
    };

    if !client.connect()? {
        anyhow::bail!("the server does not want us: {:?}", client.last_failure());
    }
    client.set_dtmf_callback(|key| println!("they pressed {} for {} ms", key.digit, key.duration_ms));
    client.make_call(number)?;
    println!("calling {number}");
    client.wait_connected(Duration::from_secs(60))?;
    println!("connected, codec {}", client.negotiated_codec().map_or("unknown", |codec| codec.name()));
    if let Some((ip, port)) = client.remote_rtp_info() {
        println!("their audio comes from {ip}:{port}");
    }
    thread::sleep(Duration::from_secs(5));
    println!("{}", client.call_status());
    client.hangup_call()?;
    client.disconnect()?;
    println!("{}", client.call_status());
    Ok(())
}
