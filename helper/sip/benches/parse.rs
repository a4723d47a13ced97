//! Parsing speed on an INVITE as a trunk sends it: 1505 octets, 20 headers, SDP. The copy of the datagram is included.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sip::msg::{Limits, Message, Method, ResponseBuilder, StatusCode, parse_datagram, validate_request};

fn parse(raw: &[u8]) -> Message {
    parse_datagram(Bytes::copy_from_slice(raw), &Limits::default()).expect("the bench message is well-formed")
}

/// What every transaction and dialog needs.
fn base_headers(message: &Message) {
    black_box((message.top_via().ok(), message.from().ok(), message.to().ok()));
    black_box((message.call_id().ok(), message.cseq().ok()));
}

fn bench(c: &mut Criterion) {
    let raw = invite();
    assert_eq!((raw.len(), parse(&raw).headers.len()), (1505, 20));
    assert_eq!(parse(&raw).method(), Some(&Method::Invite));
    let message = parse(&raw);
    let mut group = c.benchmark_group("invite_1505");
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse", |b| b.iter(|| black_box(parse(&raw))));
    group.bench_function("parse_base_headers", |b| {
        b.iter(|| {
            let message = parse(&raw);
            base_headers(&message);
            message
        })
    });
    group.bench_function("parse_validate", |b| b.iter(|| black_box(validate_request(&parse(&raw)))));
    group.bench_function("answer", |b| {
        b.iter(|| {
            ResponseBuilder::to_request(&message, StatusCode::RINGING, None)
                .received_from(([192, 0, 2, 10], 5060).into())
                .to_tag("a48s")
                .header("Contact", "<sip:relay@192.0.2.20:5062>")
                .build()
        })
    });
    group.finish();
}

fn invite() -> Vec<u8> {
    let sdp = "v=0\r\no=trunk 3935182922 3935182923 IN IP4 192.0.2.10\r\ns=call\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
        m=audio 41002 RTP/AVP 8 0 18 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:18 G729/8000\r\n\
        a=fmtp:18 annexb=no\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=maxptime:40\r\n\
        a=sendrecv\r\n";
    let head = |pad: &str| {
        format!(
            "INVITE sip:+442079460000@relay.example.com:5062;user=phone SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK8d1f.7c2b9a55.0;rport\r\n\
             Via: SIP/2.0/UDP 198.51.100.7:5080;received=198.51.100.7;branch=z9hG4bKa7c6a8dlze;rport=5080\r\n\
             Record-Route: <sip:192.0.2.10;lr;ftag=9fxced76sl;did=5a1.1f2>\r\n\
             Max-Forwards: 69\r\n\
             From: \"Trunk Caller\" <sip:+442079461111@trunk.example.com;user=phone>;tag=9fxced76sl\r\n\
             To: <sip:+442079460000@relay.example.com;user=phone>\r\n\
             Call-ID: 3848276298220188511@atlanta.example.com\r\n\
             CSeq: 102 INVITE\r\n\
             Contact: <sip:+442079461111@198.51.100.7:5080;transport=udp>\r\n\
             User-Agent: Example SBC 9.3.1 build 2291\r\n\
             Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY\r\n\
             Supported: 100rel, timer, replaces\r\n\
             Session-Expires: 1800;refresher=uac\r\n\
             Min-SE: 90\r\n\
             P-Asserted-Identity: <sip:+442079461111@trunk.example.com>\r\n\
             Privacy: none\r\n\
             Accept: application/sdp\r\n\
             X-Trunk-Id: {pad}\r\n\
             Content-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n",
            sdp.len()
        )
    };
    let pad = 1505_usize.saturating_sub(head("").len() + sdp.len());
    [head(&"7".repeat(pad)).as_str(), sdp].concat().into_bytes()
}

criterion_group!(benches, bench);
criterion_main!(benches);
