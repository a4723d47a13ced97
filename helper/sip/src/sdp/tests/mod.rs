//! Offer/answer by whole bodies: the golden forms, the hold matrix, deployed equipment, noise.

mod equipment;
mod hold;

use model::audio::Codec::{G722, Pcma, Pcmu};
use proptest::prelude::*;

use super::*;

#[test]
fn offer_has_the_golden_form() {
    let body = offer(&local("relay", "Call"), &[Pcmu, Pcma], Some(101), Direction::SendRecv);
    let golden = "v=0\r\no=relay 7 1 IN IP4 10.0.0.5\r\ns=Call\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\n\
        m=audio 31000 RTP/AVP 0 8 101\r\n\
        a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
        a=ptime:20\r\na=sendrecv\r\n";
    assert_eq!(text(&body), golden);
}

#[test]
fn answer_has_the_golden_form() {
    let offer = "v=0\r\no=- 1 1 IN IP4 10.0.0.7\r\ns=-\r\nc=IN IP4 10.0.0.7\r\nt=0 0\r\n\
        m=audio 20000 RTP/AVP 18 8 0 96\r\na=rtpmap:96 telephone-event/8000\r\na=ptime:30\r\na=sendonly\r\n";
    let (agreed, body) = answer(offer.as_bytes(), &local("-", "-"), &[Pcmu, Pcma]).unwrap();
    let golden = "v=0\r\no=- 7 1 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\n\
        m=audio 31000 RTP/AVP 8 96\r\n\
        a=rtpmap:8 PCMA/8000\r\na=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-16\r\n\
        a=ptime:30\r\na=recvonly\r\n";
    assert_eq!(text(&body), golden);
    let expected = Agreed {
        codec: Pcma,
        payload_type: 8,
        accept: vec![(8, Pcma), (0, Pcmu)],
        telephone_event: Some(96),
        remote: Some("10.0.0.7:20000".parse().unwrap()),
        remote_rtcp: Some("10.0.0.7:20001".parse().unwrap()),
        rtcp_mux: false,
        direction: Direction::RecvOnly,
        held_by_peer: true,
        held_by_us: false,
        ptime: Some(30),
    };
    assert_eq!(agreed, expected);
}

#[test]
fn bodies_over_ipv6_say_so() {
    let local = LocalMedia { address: "2001:db8::5".parse().unwrap(), ..local("-", "-") };
    let (agreed, body) = answer(sdp("IP6 2001:db8::7", "0", "").as_bytes(), &local, &[Pcmu]).unwrap();
    assert_eq!(agreed.remote, Some("[2001:db8::7]:4000".parse().unwrap()));
    assert!(text(&body).contains("o=- 7 1 IN IP6 2001:db8::5\r\n"));
    assert!(text(&body).contains("c=IN IP6 2001:db8::5\r\n"));
}

#[test]
fn hold_matrix() {
    use Direction::*;
    for (address, attribute, ours, held, remote) in [
        ("IP4 10.0.0.7", "", SendRecv, false, true),
        ("IP4 10.0.0.7", "a=sendrecv\r\n", SendRecv, false, true),
        ("IP4 10.0.0.7", "a=sendonly\r\n", RecvOnly, true, true),
        ("IP4 10.0.0.7", "a=recvonly\r\n", SendOnly, false, true),
        ("IP4 10.0.0.7", "a=inactive\r\n", Inactive, true, true),
        ("IP4 0.0.0.0", "", RecvOnly, true, false),
        ("IP4 0.0.0.0", "a=sendonly\r\n", RecvOnly, true, false),
        ("IP4 0.0.0.0", "a=inactive\r\n", Inactive, true, false),
        ("IP4 0.0.0.0", "a=recvonly\r\n", Inactive, true, false),
        ("IP6 ::", "", RecvOnly, true, false),
    ] {
        let (agreed, body) =
            answer(sdp(address, "0", attribute).as_bytes(), &local("-", "-"), &[Pcmu]).unwrap();
        assert_eq!(agreed.direction, ours, "{address} {attribute}");
        assert_eq!(agreed.held_by_peer, held, "{address} {attribute}");
        assert_eq!(agreed.remote.is_some(), remote, "{address} {attribute}");
        assert_eq!(agreed.remote_rtcp.is_some(), remote);
        assert!(text(&body).ends_with(&format!("a={ours}\r\n")), "{body:?}");
    }
}

#[test]
fn stream_offered_with_port_0_is_answered_with_port_0() {
    let offer = sdp("IP4 10.0.0.7", "0", "").replace("audio 4000", "audio 0");
    let (agreed, body) = answer(offer.as_bytes(), &local("-", "-"), &[Pcmu]).unwrap();
    assert_eq!((agreed.remote, agreed.direction, agreed.held_by_peer), (None, Direction::Inactive, true));
    assert!(text(&body).contains("m=audio 0 RTP/AVP 0\r\n"));
}

#[test]
fn direction_of_the_session_applies_where_the_stream_says_none() {
    let session = "v=0\r\nc=IN IP4 10.0.0.7\r\na=sendonly\r\nm=audio 4000 RTP/AVP 0\r\n";
    assert_eq!(agreed(session).direction, Direction::RecvOnly);
    assert_eq!(agreed(&format!("{session}a=inactive\r\n")).direction, Direction::Inactive);
}

#[test]
fn address_of_the_stream_goes_before_that_of_the_session() {
    let body = "v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 10.0.0.2\r\n";
    assert_eq!(agreed(body).remote, Some("10.0.0.2:4000".parse().unwrap()));
}

#[test]
fn every_offered_stream_is_answered_in_its_place() {
    let offer = "v=0\r\nc=IN IP4 10.0.0.7\r\nm=video 5000 RTP/AVP 96 97\r\na=rtpmap:96 H264/90000\r\n\
        m=audio 4000 RTP/AVP 8\r\nm=audio 4002 RTP/AVP 0\r\nm=image 4004 udptl t38\r\nm=application 9 TCP/BFCP *\r\n";
    let (agreed, body) = answer(offer.as_bytes(), &local("-", "-"), &[Pcmu, Pcma]).unwrap();
    assert_eq!(agreed.payload_type, 8);
    let media: Vec<_> =
        text(&body).lines().filter(|line| line.starts_with("m=")).map(str::to_owned).collect();
    assert_eq!(
        media,
        [
            "m=video 0 RTP/AVP 96 97",
            "m=audio 31000 RTP/AVP 8",
            "m=audio 0 RTP/AVP 0",
            "m=image 0 udptl t38",
            "m=application 0 TCP/BFCP *"
        ]
    );
}

#[test]
fn plain_stream_is_taken_where_a_secure_one_is_offered_beside_it() {
    let offer = "v=0\r\nc=IN IP4 10.0.0.7\r\nm=audio 4000 RTP/SAVP 0\r\nm=audio 4002 RTP/AVP 8\r\n";
    let (agreed, body) = answer(offer.as_bytes(), &local("-", "-"), &[Pcmu, Pcma]).unwrap();
    assert_eq!(agreed.remote.map(|remote| remote.port()), Some(4002));
    assert!(text(&body).contains("m=audio 0 RTP/SAVP 0\r\nm=audio 31000 RTP/AVP 8\r\n"));
}

#[test]
fn offers_that_cannot_be_answered_say_why() {
    let proto = |proto: &str| format!("v=0\r\nc=IN IP4 10.0.0.7\r\nm=audio 4000 {proto} 0\r\n");
    for (offer, error, warning) in [
        ("".to_owned(), "malformed SDP: No version line", 399),
        ("hello".to_owned(), "malformed SDP: No version line", 399),
        ("v=1\r\nm=audio 4000 RTP/AVP 0\r\n".to_owned(), "malformed SDP: Invalid version at line 1: 1", 399),
        ("v=0\r\nm=video 4000 RTP/AVP 96\r\n".to_owned(), "no audio stream", 304),
        (
            sdp("IP4 10.0.0.7", "18 96", "a=rtpmap:96 opus/48000/2\r\n"),
            "no common codec, peer has 18 opus/48000/2",
            305,
        ),
        (proto("RTP/SAVP"), "transport RTP/SAVP is not supported", 302),
        (proto("UDP/TLS/RTP/SAVPF"), "transport UDP/TLS/RTP/SAVPF is not supported", 302),
        (
            sdp("IP4 pbx.example.com", "0", ""),
            "media address \"pbx.example.com\" cannot be used, an IP address is needed",
            301,
        ),
        (
            sdp("IP4 224.2.1.1/127", "0", ""),
            "media address \"224.2.1.1\" cannot be used, an IP address is needed",
            301,
        ),
        (
            "v=0\r\nm=audio 4000 RTP/AVP 0\r\n".to_owned(),
            "media address \"\" cannot be used, an IP address is needed",
            301,
        ),
        ("v=0\r\nm=audio 4000 RTP/AVP\r\n".to_owned(), "no common codec, peer has *", 305),
        (
            "v=0\r\nm=audio 70000 RTP/AVP 0\r\n".to_owned(),
            "malformed SDP: Invalid field formatting in line 2 at Media port",
            399,
        ),
        (
            format!("v=0\r\n{}", "m=audio 4000 RTP/AVP 0\r\n".repeat(33)),
            "malformed SDP: 33 streams, at most 32 are read",
            399,
        ),
        ("v=0\r\n".repeat(20_000), "malformed SDP: 100000 bytes, at most 65535 are read", 399),
    ] {
        let refusal = answer(offer.as_bytes(), &local("-", "-"), &[Pcmu, Pcma]).unwrap_err();
        assert_eq!(refusal.to_string(), error);
        assert_eq!((refusal.status(), refusal.warning_code()), (488, warning));
    }
}

#[test]
fn payload_types_are_read_by_number_or_by_name() {
    for (formats, attributes, expected) in [
        ("9", "", Some((9, G722))),
        ("97", "a=rtpmap:97 pcma/8000/1\r\n", Some((97, Pcma))),
        ("97", "a=rtpmap:97 PCMA/8000/2\r\n", None),
        ("97", "a=rtpmap:97 PCMA/16000\r\n", None),
        ("97", "a=rtpmap:97 G722/16000\r\n", Some((97, G722))),
        ("0", "a=rtpmap:0 PCMA/8000\r\n", Some((0, Pcmu))),
        ("128 300 x 8", "", Some((8, Pcma))),
        ("97", "", None),
    ] {
        let offer = sdp("IP4 10.0.0.7", formats, attributes);
        let got = answer(offer.as_bytes(), &local("-", "-"), &[Pcmu, Pcma, G722]);
        assert_eq!(
            got.ok().map(|(agreed, _)| (agreed.payload_type, agreed.codec)),
            expected,
            "{formats} {attributes}"
        );
    }
}

#[test]
fn dynamic_payload_type_is_answered_under_the_offered_number() {
    let offer = sdp("IP4 10.0.0.7", "97", "a=rtpmap:97 PCMU/8000\r\n");
    let (_, body) = answer(offer.as_bytes(), &local("-", "-"), &[Pcmu]).unwrap();
    assert!(text(&body).contains("m=audio 31000 RTP/AVP 97\r\na=rtpmap:97 PCMU/8000\r\n"));
}

#[test]
fn telephone_events_need_the_clock_of_the_audio() {
    let events = "a=rtpmap:110 telephone-event/48000\r\na=rtpmap:97 telephone-event/8000\r\n";
    assert_eq!(agreed(&sdp("IP4 10.0.0.7", "0 110 97", events)).telephone_event, Some(97));
    assert_eq!(agreed(&sdp("IP4 10.0.0.7", "0 110", events)).telephone_event, None);
    // A map of a payload type that the m-line does not list offers nothing.
    assert_eq!(agreed(&sdp("IP4 10.0.0.7", "0", events)).telephone_event, None);
}

#[test]
fn rtcp_address_is_taken_from_its_attribute() {
    for (attribute, rtcp) in [
        ("", Some("10.0.0.7:4001")),
        ("a=rtcp:5001\r\n", Some("10.0.0.7:5001")),
        ("a=rtcp:5001 IN IP4 10.0.0.9\r\n", Some("10.0.0.9:5001")),
        ("a=rtcp:5001 IN IP4 pbx.example.com\r\n", Some("10.0.0.7:5001")),
        ("a=rtcp:0\r\n", None),
        ("a=rtcp:x\r\n", None),
    ] {
        let got = agreed(&sdp("IP4 10.0.0.7", "0", attribute)).remote_rtcp;
        assert_eq!(got, rtcp.map(|rtcp| rtcp.parse().unwrap()), "{attribute}");
    }
    let last_port = sdp("IP4 10.0.0.7", "0", "a=rtcp-mux\r\n").replace("4000", "65535");
    assert_eq!(agreed(&last_port).remote_rtcp, None);
    assert!(agreed(&last_port).rtcp_mux);
}

#[test]
fn odd_ptime_is_no_ptime() {
    for (value, ptime) in
        [("20", Some(20)), ("20.0", Some(20)), ("0", None), ("300", None), ("-1", None), ("x", None)]
    {
        assert_eq!(
            agreed(&sdp("IP4 10.0.0.7", "0", &format!("a=ptime:{value}\r\n"))).ptime,
            ptime,
            "{value}"
        );
    }
}

#[test]
fn slightly_broken_bodies_are_read() {
    let good = agreed(
        "v=0\r\nc=IN IP4 10.0.0.7\r\nm=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n",
    );
    for broken in [
        "v=0\nc=IN IP4 10.0.0.7\nm=audio 4000 RTP/AVP 8 101\na=rtpmap:101 telephone-event/8000",
        "v=0\rc=IN IP4 10.0.0.7\rm=audio 4000 RTP/AVP 8 101\ra=rtpmap:101 telephone-event/8000\r",
        "\r\nv=0 \r\n\r\nc=IN  IP4 10.0.0.7 \r\nm=audio  4000 RTP/AVP 8  101 \r\na=rtpmap:101  telephone-event/8000 \r\n\0",
        "c=IN IP4 10.0.0.7\r\nm=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n",
        "v=0\r\no=x 1\r\ns=\r\nt=\r\nb=AS\r\nz=z\r\nc=IN IP4 10.0.0.7\r\nc=IN IP4 10.0.0.8\r\nm=audio 4000 RTP/AVP 8 101\r\n\
         b=X\r\nk=prompt\r\nk=prompt\r\na=rtpmap:101 telephone-event/8000/1\r\nnoise\r\n=\r\na\r\na=\r\n",
        "v=0\r\nc=IN IP4 10.0.0.7/127\r\nm=audio 4000/1 rtp/avp 8 101\r\na=RTPMAP:101 Telephone-Event/8000\r\n",
    ] {
        assert_eq!(agreed(broken), good, "{broken:?}");
    }
}

#[test]
fn answer_to_our_offer_is_read() {
    let accept = |formats: &str, attributes: &str, direction| {
        accept_answer(
            sdp("IP4 10.0.0.7", formats, attributes).as_bytes(),
            &[Pcmu, Pcma],
            Some(101),
            direction,
        )
    };
    let event = "a=rtpmap:101 telephone-event/8000\r\n";
    let got = accept("8 101", event, Direction::SendRecv).unwrap();
    assert_eq!((got.payload_type, got.telephone_event, got.direction), (8, Some(101), Direction::SendRecv));
    assert_eq!(got.accept, [(8, Pcma), (0, Pcmu)]);
    assert_eq!(
        accept("0 101", "", Direction::SendRecv).unwrap().telephone_event,
        Some(101),
        "101 without a map"
    );
    assert_eq!(accept("0", event, Direction::SendRecv).unwrap().telephone_event, None);
    let held = accept("0", "a=recvonly\r\n", Direction::SendOnly).unwrap();
    assert_eq!((held.direction, held.held_by_peer), (Direction::SendOnly, false));
    let careless = accept("0", "a=sendrecv\r\n", Direction::SendOnly).unwrap();
    assert_eq!(careless.direction, Direction::SendOnly, "an answer cannot widen the offer");
    let refused = accept("18", "", Direction::SendRecv).unwrap_err();
    assert_eq!(refused, AnswerError::NoCommonCodec { offered: vec!["18".into()] });
    let rejected = sdp("IP4 10.0.0.7", "0", "").replace("4000", "0");
    let rejected = accept_answer(rejected.as_bytes(), &[Pcmu], None, Direction::SendRecv);
    assert_eq!(rejected, Err(AnswerError::NoAudio));
}

#[test]
fn version_rises_by_one_exactly_when_the_body_changes() {
    let mut session = Negotiator::new(local("-", "-"), vec![Pcmu, Pcma], Some(101));
    let version = |body: &Bytes| text(body).split(' ').nth(2).unwrap().to_owned();
    let (up, hold) = (sdp("IP4 10.0.0.7", "0", ""), sdp("IP4 10.0.0.7", "0", "a=sendonly\r\n"));
    let mut seen = Vec::new();
    for offer in [&up, &up, &hold, &hold, &up] {
        let (agreed, body) = session.answer(offer.as_bytes()).unwrap();
        seen.push((version(&body), agreed.direction));
    }
    assert!(session.answer(b"v=0\r\nm=video 1 RTP/AVP 96\r\n").is_err(), "a refused offer changes nothing");
    session.set_address("10.0.0.6".parse().unwrap(), 31_004);
    let moved = session.answer(up.as_bytes()).unwrap().1;
    let expected = [
        ("1", Direction::SendRecv),
        ("1", Direction::SendRecv),
        ("2", Direction::RecvOnly),
        ("2", Direction::RecvOnly),
        ("3", Direction::SendRecv),
    ];
    assert_eq!(seen, expected.map(|(version, direction)| (version.to_owned(), direction)));
    assert_eq!(version(&moved), "4");
    assert!(text(&moved).contains("c=IN IP4 10.0.0.6\r\n") && text(&moved).contains("m=audio 31004 "));
}

#[test]
fn our_hold_keeps_streams_and_payload_types_of_the_peers_offer() {
    let mut session = Negotiator::new(local("-", "-"), vec![Pcmu, Pcma], Some(101));
    let offer = "v=0\r\nc=IN IP4 10.0.0.7\r\nm=video 5000 RTP/AVP 96\r\n\
        m=audio 4000 RTP/AVP 8 0 97\r\na=rtpmap:97 telephone-event/8000\r\nm=image 4004 udptl t38\r\n";
    session.answer(offer.as_bytes()).unwrap();
    session.set_direction(Direction::SendOnly);
    let hold = session.offer();
    let media = "m=video 0 RTP/AVP 96\r\nm=audio 31000 RTP/AVP 8 97\r\na=rtpmap:8 PCMA/8000\r\n\
        a=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-16\r\na=ptime:20\r\na=sendonly\r\nm=image 0 udptl t38\r\n";
    assert!(
        text(&hold).starts_with("v=0\r\no=- 7 2 IN IP4 10.0.0.5\r\n") && text(&hold).ends_with(media),
        "{hold:?}"
    );

    let answer = "v=0\r\nc=IN IP4 10.0.0.7\r\nm=video 0 RTP/AVP 96\r\n\
        m=audio 4000 RTP/AVP 8 97\r\na=rtpmap:97 telephone-event/8000\r\na=recvonly\r\nm=image 0 udptl t38\r\n";
    let agreed = session.accept_answer(answer.as_bytes()).unwrap();
    assert_eq!((agreed.direction, agreed.telephone_event), (Direction::SendOnly, Some(97)));

    // The peer re-offers meanwhile: our hold stands.
    let (agreed, body) = session.answer(offer.as_bytes()).unwrap();
    assert_eq!(agreed.direction, Direction::SendOnly);
    assert!(text(&body).contains("a=sendonly\r\n"));
    session.set_direction(Direction::SendRecv);
    assert!(text(&session.offer()).contains("a=sendrecv\r\n"));
}

#[test]
fn each_answer_to_one_offer_may_choose_another_codec() {
    let mut session = Negotiator::new(local("relay", "Call"), vec![Pcmu, Pcma], Some(101));
    let first = session.offer();
    assert_eq!(session.offer(), first, "an offer that is sent again is the same");
    let early = session.accept_answer(sdp("IP4 10.0.0.7", "0 101", "").as_bytes()).unwrap();
    let last = session.accept_answer(sdp("IP4 10.0.0.8", "8", "").as_bytes()).unwrap();
    assert_eq!((early.codec, last.codec), (Pcmu, Pcma));
    assert_eq!((early.telephone_event, last.telephone_event), (Some(101), None));
    assert!(text(&session.offer()).contains("m=audio 31000 RTP/AVP 8\r\n"));
}

#[test]
fn delayed_offer_and_its_answer_fix_a_session_in_either_order() {
    // Ours in the 2xx, theirs in the ACK; then theirs in a re-INVITE, ours in one without a body.
    let mut ours = Negotiator::new(local("-", "-"), vec![Pcmu, Pcma], Some(101));
    let mut theirs = Negotiator::new(local("x", "y"), vec![Pcma, Pcmu], Some(96));
    for we_offer in [true, false, true, false] {
        let (one, other) = if we_offer { (&mut ours, &mut theirs) } else { (&mut theirs, &mut ours) };
        let offered = one.offer();
        let (theirs, body) = other.answer(&offered).unwrap();
        let agreed = one.accept_answer(&body).unwrap();
        assert_eq!((agreed.codec, agreed.telephone_event), (theirs.codec, theirs.telephone_event));
        assert_eq!((agreed.codec, agreed.telephone_event), (Pcmu, Some(101)));
        assert_eq!(one.offer(), one.offer(), "a refresh is the same body");
    }
}

#[test]
fn answer_to_a_refresh_is_read_against_what_was_agreed_last() {
    let mut session = Negotiator::new(local("-", "-"), vec![Pcmu, Pcma], Some(101));
    session.offer();
    session.accept_answer(sdp("IP4 10.0.0.7", "0 101", "").as_bytes()).unwrap();
    // The peer changed to the other codec, without telephone events.
    session.answer(sdp("IP4 10.0.0.7", "8", "").as_bytes()).unwrap();
    let agreed = session.accept_answer(sdp("IP4 10.0.0.7", "8 101", "").as_bytes()).unwrap();
    assert_eq!((agreed.codec, agreed.telephone_event), (Pcma, None), "101 was no part of it any more");
    assert!(session.accept_answer(sdp("IP4 10.0.0.7", "0", "").as_bytes()).is_err());
}

#[test]
fn our_own_fields_cannot_break_the_body() {
    let body = offer(&local("a b\r\nm=x", "\r\n"), &[Pcmu], None, Direction::SendRecv);
    assert!(text(&body).starts_with("v=0\r\no=abm=x 7 1 IN IP4 10.0.0.5\r\ns=-\r\n"));
}

proptest! {
    #[test]
    fn any_bytes_are_answered_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&body);
    }

    #[test]
    fn any_lines_are_answered_or_refused(lines in proptest::collection::vec(line(), 0..14)) {
        check(lines.join("\r\n").as_bytes());
    }

    #[test]
    fn damaged_bodies_are_answered_or_refused(
        which in 0..equipment::BODIES.len(), at in any::<prop::sample::Index>(), cut in 0usize..8, put in "[\\x00-\\x7fé]{0,4}",
    ) {
        let mut body = equipment::BODIES[which].1.as_bytes().to_vec();
        let at = at.index(body.len());
        let end = (at + cut).min(body.len());
        body.splice(at..end, put.bytes());
        check(&body);
    }

    #[test]
    fn own_offers_are_answered_in_kind(
        codecs in prop::sample::subsequence(vec![G722, Pcmu, Pcma], 1..=3).prop_shuffle(), event in prop::option::of(96..=127u8),
        direction in prop::sample::select(vec![Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]),
    ) {
        let sent = offer(&local("relay", "Call"), &codecs, event, direction);
        let (theirs, body) = answer(&sent, &local("-", "-"), &[Pcmu, Pcma, G722]).unwrap();
        let ours = accept_answer(&body, &codecs, event, direction).unwrap();
        prop_assert_eq!(theirs.codec, codecs[0]);
        prop_assert_eq!((ours.codec, ours.payload_type), (theirs.codec, theirs.payload_type));
        prop_assert_eq!((ours.telephone_event, theirs.telephone_event), (event, event));
        prop_assert_eq!((ours.direction, theirs.direction), (direction, direction.mirrored()));
        prop_assert_eq!(ours.accept.len(), codecs.len());
    }
}

/// What holds for every body: no panic, and an answer that is itself SDP with as many streams.
fn check(body: &[u8]) {
    let codecs = [Pcmu, Pcma, G722];
    let _ = accept_answer(body, &codecs, Some(101), Direction::SendRecv);
    let mut session = Negotiator::new(local("-", "-"), codecs.to_vec(), Some(101));
    if let Ok((agreed, answer)) = session.answer(body) {
        assert!(agreed.accept.contains(&(agreed.payload_type, agreed.codec)));
        assert!(answer.len() < body.len() + 600);
        let streams = |body: &[u8]| read::parse(body).unwrap().len();
        assert_eq!(streams(&answer), streams(body));
        assert_eq!(session.answer(body).unwrap().1, answer);
        assert_eq!(streams(&session.offer()), streams(body));
    }
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("v=0".to_owned()),
        "c=IN IP[46] (10\\.0\\.0\\.[0-9]{1,3}|0\\.0\\.0\\.0|::1?|host|224\\.0\\.0\\.1/1)?",
        "m=(audio|video|image|audio) [0-9]{1,5}(/[0-9])? (RTP/AVPF?|RTP/SAVP|udptl)( [0-9]{1,3}){0,4}",
        "a=(sendrecv|sendonly|recvonly|inactive|rtcp-mux)",
        "a=rtpmap:[0-9]{1,3} (PCMU|pcma|G722|telephone-event|opus)(/(8000|16000|x))?(/[0-9])?",
        "a=(rtcp|ptime|maxptime|fmtp|crypto):[0-9]{0,5}( IN IP4 1\\.2\\.3\\.4)?",
        "[a-z]=[ -~]{0,20}",
        "\\PC{0,20}",
    ]
}

fn agreed(offer: &str) -> Agreed {
    answer(offer.as_bytes(), &local("-", "-"), &[Pcmu, Pcma]).map(|(agreed, _)| agreed).unwrap()
}

/// An SDP of one audio stream at port 4000 of `address` (with its family).
fn sdp(address: &str, formats: &str, attributes: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 10.0.0.7\r\ns=-\r\nc=IN {address}\r\nt=0 0\r\nm=audio 4000 RTP/AVP {formats}\r\n{attributes}"
    )
}

fn local(username: &str, session_name: &str) -> LocalMedia {
    LocalMedia {
        address: "10.0.0.5".parse().unwrap(),
        port: 31_000,
        session_id: 7,
        version: 1,
        username: username.to_owned(),
        session_name: session_name.to_owned(),
    }
}

fn text(body: &Bytes) -> &str {
    std::str::from_utf8(body).unwrap()
}
