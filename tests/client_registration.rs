//! A client of the library and its server: credentials, refusals, refreshes, and what is left when it has gone.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::UdpSocket;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::pbx::{Pbx, Request};
use common::registrar::{digest, parameter};
use common::{eventually, free_ports};
use sip_relay::client::blocking::SimpleSipClient;
use sip_relay::client::{CallState, ClientBuilder, SipClientError};

const PLAIN: (&str, &str) = ("WWW-Authenticate", "Digest realm=\"r\", nonce=\"n1\"");
const QOP: (&str, &str) =
    ("WWW-Authenticate", "Digest realm=\"r\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"");

type Outcome = Result<bool, SipClientError>;

fn of(pbx: &Pbx) -> ClientBuilder {
    SimpleSipClient::builder("1001", "pw", "127.0.0.1").port(pbx.address().port())
}

fn connect(client: &SimpleSipClient) -> JoinHandle<Outcome> {
    let client = client.clone();
    thread::spawn(move || client.connect())
}

/// Connects with the registrar saying yes; `grant` is its Contact's expiry.
fn connected(pbx: &Pbx, builder: ClientBuilder, grant: u32) -> (SimpleSipClient, Request) {
    let client = SimpleSipClient::from(builder);
    let connecting = connect(&client);
    let register = pbx.expect_request("REGISTER");
    grant_it(pbx, &register, grant);
    assert_eq!(connecting.join().unwrap(), Ok(true));
    (client, register)
}

fn grant_it(pbx: &Pbx, register: &Request, seconds: u32) {
    let contact = register.header("Contact").split(';').next().unwrap().to_owned();
    pbx.answer(register, 200, "OK", &[("Contact", &format!("{contact};expires={seconds}"))]);
}

fn quiet(pbx: &Pbx) {
    assert!(
        !eventually(Duration::from_millis(300), || !pbx.unexpected().is_empty()),
        "{:?}",
        pbx.unexpected()
    );
}

#[test]
fn challenge_is_answered_once_with_the_next_cseq_and_another_branch() {
    for challenge in [PLAIN, QOP] {
        let pbx = Pbx::new();
        let client = SimpleSipClient::from(of(&pbx));
        let connecting = connect(&client);
        let first = pbx.expect_request("REGISTER");
        let (start, server) = (first.message().start_line(), pbx.address());
        assert_eq!(start, format!("REGISTER sip:{server} SIP/2.0"));
        assert_eq!(first.header("To"), "<sip:1001@127.0.0.1>");
        assert_eq!(first.header("User-Agent"), "BetterSIPClient/1.0");
        assert_eq!((first.header("CSeq"), first.header("Expires")), ("1 REGISTER", "3600"));
        assert!(first.header("Contact").starts_with("<sip:1001@127.0.0.1:"), "{}", first.header("Contact"));
        assert!(first.message().header("Authorization").is_none());
        pbx.answer(&first, 401, "Unauthorized", &[challenge]);

        let second = pbx.expect_request("REGISTER");
        assert_eq!(second.header("CSeq"), "2 REGISTER");
        assert_eq!(second.header("Call-ID"), first.header("Call-ID"));
        assert_ne!(second.message().branch(), first.message().branch());
        let answer = second.header("Authorization");
        assert_eq!(parameter(answer, "response"), Some(digest(answer, "REGISTER", "pw")), "{answer}");
        assert_eq!(parameter(answer, "username").as_deref(), Some("1001"));
        assert_eq!(parameter(answer, "cnonce").is_some(), challenge == QOP, "{answer}");
        assert!(!connecting.is_finished(), "it waits for the final answer");
        grant_it(&pbx, &second, 3600);
        assert_eq!(connecting.join().unwrap(), Ok(true));
        assert!(client.is_connected() && client.call_status().registered);
        quiet(&pbx);
    }
}

#[test]
fn refused_credentials_are_an_error_after_two_registers() {
    let proxy = ("Proxy-Authenticate", PLAIN.1);
    for (status, challenge) in [(401, PLAIN), (407, proxy)] {
        let pbx = Pbx::new();
        let client = SimpleSipClient::from(of(&pbx));
        let connecting = connect(&client);
        for _ in 0..2 {
            let register = pbx.expect_request("REGISTER");
            pbx.answer(&register, status, "No", &[challenge]);
        }
        assert_eq!(connecting.join().unwrap(), Err(SipClientError::Authentication { status }));
        assert!(!client.is_connected());
        quiet(&pbx);
    }
}

#[test]
fn forbidden_user_is_an_authentication_error_too() {
    let pbx = Pbx::new();
    let client = SimpleSipClient::from(of(&pbx));
    let connecting = connect(&client);
    pbx.answer(&pbx.expect_request("REGISTER"), 403, "Forbidden", &[]);
    assert_eq!(connecting.join().unwrap(), Err(SipClientError::Authentication { status: 403 }));
}

#[test]
fn server_that_refuses_is_no_error_and_may_be_asked_again() {
    let pbx = Pbx::new();
    let client = SimpleSipClient::from(of(&pbx).local_port(free_ports(2)));
    let connecting = connect(&client);
    pbx.answer(&pbx.expect_request("REGISTER"), 503, "Overloaded", &[]);
    assert_eq!(connecting.join().unwrap(), Ok(false));
    assert_eq!(client.last_failure().unwrap().to_string(), "503 Overloaded");
    assert!(!client.is_connected());

    // On the same port: the first attempt has given it back.
    let connecting = connect(&client);
    let register = pbx.expect_request("REGISTER");
    assert_eq!(register.header("CSeq"), "1 REGISTER");
    grant_it(&pbx, &register, 3600);
    assert_eq!(connecting.join().unwrap(), Ok(true));
}

#[test]
fn server_that_is_not_there_is_an_error_in_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nobody = free_ports(2);
    for port in [silent.local_addr().unwrap().port(), nobody] {
        let builder = SimpleSipClient::builder("1001", "pw", "127.0.0.1").port(port);
        let client = SimpleSipClient::from(builder.connect_timeout(Duration::from_millis(700)));
        let begun = Instant::now();
        let error = client.connect().unwrap_err();
        assert!(begun.elapsed() < Duration::from_millis(1700), "{:?}", begun.elapsed());
        let said = error.to_string();
        assert!(matches!(error, SipClientError::Connection(_)), "{error:?}");
        assert!(said.contains(&format!("127.0.0.1:{port} does not answer")), "{said}");
        assert_eq!(client.disconnect(), Ok(()));
    }
}

#[test]
fn name_without_address_and_port_that_is_taken_are_errors() {
    let unknown = SimpleSipClient::new("1001", "pw", "no-such-host.invalid");
    let error = unknown.connect().unwrap_err();
    assert!(matches!(error, SipClientError::Connection(_)), "{error:?}");
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");

    let pbx = Pbx::new();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = SimpleSipClient::from(of(&pbx).local_port(taken.local_addr().unwrap().port()));
    let error = client.connect().unwrap_err();
    assert!(matches!(&error, SipClientError::Connection(why) if why.contains("cannot listen")), "{error:?}");
    let narrow = SimpleSipClient::from(of(&pbx).rtp_ports(10_001..=10_001));
    let error = narrow.connect().unwrap_err();
    assert!(matches!(error, SipClientError::InvalidSetting { setting: "rtp_ports", .. }), "{error:?}");
    quiet(&pbx);
}

#[test]
fn name_of_the_server_is_resolved_and_stays_in_its_uri() {
    let pbx = Pbx::new();
    let builder = SimpleSipClient::builder("1001", "pw", "localhost").port(pbx.address().port());
    let (client, register) = connected(&pbx, builder, 60);
    assert_eq!(register.header("To"), "<sip:1001@localhost>");
    drop(client);
}

#[test]
fn registration_is_refreshed_in_time_and_given_up_at_the_end() {
    let pbx = Pbx::new();
    let (client, first) = connected(&pbx, of(&pbx), 2);
    let begun = Instant::now();
    for cseq in [2, 3] {
        let refresh = pbx.expect_request("REGISTER");
        assert_eq!(refresh.header("Call-ID"), first.header("Call-ID"));
        assert_eq!(refresh.header("CSeq"), format!("{cseq} REGISTER"));
        grant_it(&pbx, &refresh, 2);
    }
    let taken = begun.elapsed();
    assert!(taken > Duration::from_millis(3_400) && taken < Duration::from_secs(5), "{taken:?}");

    let address = client.call_status().local_sip.unwrap();
    let leaving = thread::spawn({
        let client = client.clone();
        move || client.disconnect()
    });
    let removal = pbx.expect_request("REGISTER");
    assert_eq!((removal.header("Expires"), removal.header("Call-ID")), ("0", first.header("Call-ID")));
    pbx.answer(&removal, 200, "OK", &[]);
    assert_eq!(leaving.join().unwrap(), Ok(()));
    UdpSocket::bind(address).expect("the SIP port is free");
    assert!(!client.is_connected());
    quiet(&pbx);
}

#[test]
fn connecting_and_disconnecting_twice_does_no_harm() {
    let pbx = Pbx::new();
    let (client, _) = connected(&pbx, of(&pbx), 3600);
    assert_eq!(client.connect(), Ok(true));
    quiet(&pbx);
    let leaving = thread::spawn({
        let client = client.clone();
        move || client.disconnect()
    });
    pbx.answer(&pbx.expect_request("REGISTER"), 200, "OK", &[]);
    assert_eq!(leaving.join().unwrap(), Ok(()));
    assert_eq!(client.disconnect(), Ok(()));
    assert_eq!(client.make_call("1002"), Err(SipClientError::NotConnected));
    assert_eq!(client.call_state(), CallState::Idle);
    let connecting = connect(&client);
    grant_it(&pbx, &pbx.expect_request("REGISTER"), 3600);
    assert_eq!(connecting.join().unwrap(), Ok(true));
}

#[test]
fn last_handle_that_is_dropped_gives_the_registration_up() {
    let pbx = Pbx::new();
    let (client, _) = connected(&pbx, of(&pbx), 3600);
    let address = client.call_status().local_sip.unwrap();
    let other = client.clone();
    drop(client);
    quiet(&pbx);
    drop(other);
    let removal = pbx.expect_request("REGISTER");
    assert_eq!(removal.header("Expires"), "0");
    pbx.answer(&removal, 200, "OK", &[]);
    assert!(
        eventually(Duration::from_secs(2), || UdpSocket::bind(address).is_ok()),
        "{address} is still held"
    );
}

#[test]
fn client_that_does_not_register_says_nothing() {
    let pbx = Pbx::new();
    let client = SimpleSipClient::from(of(&pbx).register(false));
    assert_eq!(client.connect(), Ok(true));
    assert!(!client.call_status().registered);
    assert_eq!(client.disconnect(), Ok(()));
    quiet(&pbx);
}

#[test]
fn futures_need_no_clock_and_no_sockets_of_the_runtime_that_polls_them() {
    let bare = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let builder = SimpleSipClient::builder("1001", "pw", "localhost").port(free_ports(2));
    let client = builder.connect_timeout(Duration::from_millis(100)).build();
    let error = bare.block_on(client.connect()).unwrap_err();
    assert!(matches!(error, SipClientError::Connection(_)), "{error:?}");
}
