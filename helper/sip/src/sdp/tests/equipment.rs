//! Offers as PBXs, phones, borders and carriers send them: each is written here by hand in that manner, none captured.

use model::audio::Codec::{G722, Pcma, Pcmu};

use super::{answer, local};

#[test]
fn offers_of_deployed_equipment_are_understood() {
    for (name, body, expected) in BODIES {
        let got = match answer(body.as_bytes(), &local("-", "-"), &[Pcmu, Pcma, G722]) {
            Ok((agreed, _)) => format!(
                "{} {} {} {} {}",
                agreed.payload_type,
                agreed.codec,
                agreed.telephone_event.map_or("-".to_owned(), |event| event.to_string()),
                agreed.remote.map_or("-".to_owned(), |remote| remote.to_string()),
                agreed.direction,
            ),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, *expected, "{name}");
    }
}

/// Manner, body, and what we make of it: payload type, codec, telephone event, RTP address, our direction.
pub(super) const BODIES: &[(&str, &str, &str)] = &[
    (
        "Asterisk",
        "v=0\r\no=- 1839512443 1839512443 IN IP4 192.0.2.10\r\ns=Asterisk\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
         m=audio 14982 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:140\r\na=sendrecv\r\n",
        "0 PCMU 101 192.0.2.10:14982 sendrecv",
    ),
    (
        "FreeSWITCH with opus first and two event clocks",
        "v=0\r\no=FreeSWITCH 1700000000 1700000001 IN IP4 192.0.2.11\r\ns=FreeSWITCH\r\nc=IN IP4 192.0.2.11\r\nt=0 0\r\n\
         m=audio 21354 RTP/AVP 102 9 0 8 103 101\r\na=rtpmap:102 opus/48000/2\r\na=fmtp:102 useinbandfec=1; maxaveragebitrate=30000\r\n\
         a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:103 telephone-event/48000\r\n\
         a=fmtp:103 0-16\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n",
        "9 G722 101 192.0.2.11:21354 sendrecv",
    ),
    (
        "media relay behind a proxy: rtcp attribute, direction before the maps",
        "v=0\r\no=root 4711 4712 IN IP4 198.51.100.20\r\ns=call\r\nc=IN IP4 198.51.100.20\r\nt=0 0\r\n\
         m=audio 30462 RTP/AVP 8 0 101\r\na=sendrecv\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=rtcp:30463\r\n",
        "8 PCMA 101 198.51.100.20:30462 sendrecv",
    ),
    (
        "large enterprise call manager: G.729 preferred, bandwidth at both levels",
        "v=0\r\no=CiscoSystemsCCM-SIP 2000 1 IN IP4 192.0.2.12\r\ns=SIP Call\r\nc=IN IP4 192.0.2.12\r\nb=TIAS:64000\r\nb=AS:64\r\nt=0 0\r\n\
         m=audio 24638 RTP/AVP 18 0 101\r\nb=TIAS:64000\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:0 PCMU/8000\r\n\
         a=ptime:20\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n",
        "0 PCMU 101 192.0.2.12:24638 sendrecv",
    ),
    (
        "analogue adapter: NSE, G.726 variants, ptime 30",
        "v=0\r\no=- 1208 1208 IN IP4 192.168.1.21\r\ns=-\r\nc=IN IP4 192.168.1.21\r\nt=0 0\r\n\
         m=audio 16402 RTP/AVP 0 2 4 8 18 96 97 98 100 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:2 G726-32/8000\r\na=rtpmap:4 G723/8000\r\n\
         a=rtpmap:8 PCMA/8000\r\na=rtpmap:18 G729a/8000\r\na=rtpmap:96 G726-40/8000\r\na=rtpmap:97 G726-24/8000\r\n\
         a=rtpmap:98 G726-16/8000\r\na=rtpmap:100 NSE/8000\r\na=fmtp:100 192-193\r\na=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-15\r\na=ptime:30\r\na=sendrecv\r\n",
        "0 PCMU 101 192.168.1.21:16402 sendrecv",
    ),
    (
        "desk phone: wide band first",
        "v=0\r\no=- 20018 20018 IN IP4 192.168.1.22\r\ns=SDP data\r\nc=IN IP4 192.168.1.22\r\nt=0 0\r\n\
         m=audio 11796 RTP/AVP 9 8 0 18 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=ptime:20\r\na=sendrecv\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n",
        "9 G722 101 192.168.1.22:11796 sendrecv",
    ),
    (
        "conference phone: Siren codecs, events under 127, session direction",
        "v=0\r\no=- 1370000000 1370000000 IN IP4 192.168.1.23\r\ns=Polycom IP Phone\r\nc=IN IP4 192.168.1.23\r\nt=0 0\r\na=sendrecv\r\n\
         m=audio 2240 RTP/AVP 115 9 0 8 127\r\na=rtpmap:115 G7221/32000\r\na=fmtp:115 bitrate=48000\r\na=rtpmap:9 G722/8000\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:127 telephone-event/8000\r\n",
        "9 G722 127 192.168.1.23:2240 sendrecv",
    ),
    (
        "desk phone with video",
        "v=0\r\no=1001 8000 8000 IN IP4 192.168.1.24\r\ns=SIP Call\r\nc=IN IP4 192.168.1.24\r\nt=0 0\r\n\
         m=audio 5004 RTP/AVP 0 8 4 18 2 97 101\r\na=sendrecv\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:97 iLBC/8000\r\na=fmtp:97 mode=20\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
         m=video 5006 RTP/AVP 99\r\na=sendrecv\r\na=rtpmap:99 H264/90000\r\na=fmtp:99 profile-level-id=42801E; packetization-mode=1\r\n",
        "0 PCMU 101 192.168.1.24:5004 sendrecv",
    ),
    (
        "phone with optional SRTP in a plain stream",
        "v=0\r\no=root 1263204131 1263204131 IN IP4 192.168.1.25\r\ns=call\r\nc=IN IP4 192.168.1.25\r\nt=0 0\r\n\
         m=audio 61456 RTP/AVP 9 8 0 3 101\r\na=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:VGhpcyBpcyBub3QgYSByZWFsIGtleSBhdCBhbGwh\r\n\
         a=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:3 GSM/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n",
        "9 G722 101 192.168.1.25:61456 sendrecv",
    ),
    (
        "softphone in AVPF with feedback lines and unmapped static types",
        "v=0\r\no=alice 3412 1187 IN IP4 192.168.1.26\r\ns=Talk\r\nc=IN IP4 192.168.1.26\r\nt=0 0\r\na=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics\r\n\
         m=audio 7078 RTP/AVPF 96 97 98 0 8 101 99\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=rtpmap:97 speex/16000\r\na=fmtp:97 vbr=on\r\n\
         a=rtpmap:98 speex/8000\r\na=rtpmap:101 telephone-event/48000\r\na=rtpmap:99 telephone-event/8000\r\na=rtcp-fb:* trr-int 5000\r\na=rtcp-fb:* ccm tmmbr\r\n",
        "0 PCMU 99 192.168.1.26:7078 sendrecv",
    ),
    (
        "open-source softphone: rtcp with address, ssrc, label",
        "v=0\r\no=- 4107653321 3873124233 IN IP4 192.168.1.27\r\ns=-\r\nc=IN IP4 192.168.1.27\r\nt=0 0\r\na=tool:baresip 3.10\r\n\
         m=audio 40110 RTP/AVP 96 0 8 97\r\nb=AS:125\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 stereo=1;sprop-stereo=1\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:8 PCMA/8000\r\na=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15\r\na=rtcp:40111\r\na=sendrecv\r\na=label:1\r\na=rtcp-rsize\r\n\
         a=ssrc:1187362001 cname:sip:alice@example.com\r\na=ptime:20\r\n",
        "0 PCMU 97 192.168.1.27:40110 sendrecv",
    ),
    (
        "library softphone: rtcp-mux offered, X-attributes at session level",
        "v=0\r\no=- 3912345678 3912345678 IN IP4 192.168.1.28\r\ns=pjmedia\r\nb=AS:84\r\nt=0 0\r\na=X-nat:0\r\n\
         m=audio 4006 RTP/AVP 8 0 101\r\nc=IN IP4 192.168.1.28\r\nb=TIAS:64000\r\na=rtcp:4007 IN IP4 192.168.1.28\r\na=sendrecv\r\n\
         a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ssrc:1399512345 cname:5c0a3\r\na=rtcp-mux\r\n",
        "8 PCMA 101 192.168.1.28:4006 sendrecv",
    ),
    (
        "cloud carrier: one codec, maxptime",
        "v=0\r\no=root 1142533187 1142533187 IN IP4 203.0.113.30\r\ns=Twilio Media Gateway\r\nc=IN IP4 203.0.113.30\r\nt=0 0\r\n\
         m=audio 17254 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:20\r\na=sendrecv\r\n",
        "0 PCMU 101 203.0.113.30:17254 sendrecv",
    ),
    (
        "border controller: every line once, comfort noise, silenceSupp",
        "v=0\r\no=SBC 16777216 1 IN IP4 203.0.113.31\r\ns=sip call\r\nc=IN IP4 203.0.113.31\r\nt=0 0\r\n\
         m=audio 50010 RTP/AVP 8 13 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-15\r\na=silenceSupp:off - - - -\r\na=ptime:20\r\na=sendrecv\r\n",
        "8 PCMA 101 203.0.113.31:50010 sendrecv",
    ),
    (
        "mobile network: AMR first, preconditions, A-law last",
        "v=0\r\no=- 101 1 IN IP6 2001:db8:40::1\r\ns=-\r\nc=IN IP6 2001:db8:40::1\r\nb=AS:49\r\nb=RS:600\r\nb=RR:2000\r\nt=0 0\r\n\
         m=audio 49160 RTP/AVP 104 102 8 105 100\r\nb=AS:49\r\na=rtpmap:104 AMR-WB/16000/1\r\na=fmtp:104 mode-change-capability=2;max-red=220\r\n\
         a=rtpmap:102 AMR/8000/1\r\na=rtpmap:105 telephone-event/16000\r\na=rtpmap:100 telephone-event/8000\r\na=fmtp:100 0-15\r\na=ptime:20\r\n\
         a=maxptime:240\r\na=curr:qos local none\r\na=curr:qos remote none\r\na=des:qos mandatory local sendrecv\r\na=des:qos none remote sendrecv\r\n",
        "8 PCMA 100 [2001:db8:40::1]:49160 sendrecv",
    ),
    (
        "hold by a desk phone",
        "v=0\r\no=- 20018 20019 IN IP4 192.168.1.22\r\ns=SDP data\r\nc=IN IP4 192.168.1.22\r\nt=0 0\r\n\
         m=audio 11796 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=sendonly\r\na=rtpmap:101 telephone-event/8000\r\n",
        "8 PCMA 101 192.168.1.22:11796 recvonly",
    ),
    (
        "hold in the manner of RFC 2543",
        "v=0\r\no=- 1208 1209 IN IP4 192.168.1.21\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 16402 RTP/AVP 0 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n",
        "0 PCMU 101 - recvonly",
    ),
    (
        "black-hole offer of a call control server",
        "v=0\r\no=3pcc 1 1 IN IP4 192.0.2.13\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 9 RTP/AVP 8\r\na=inactive\r\n",
        "8 PCMA - - inactive",
    ),
    (
        "switch to fax",
        "v=0\r\no=- 1839512443 1839512444 IN IP4 192.0.2.10\r\ns=Asterisk\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
         m=image 4512 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\na=T38FaxRateManagement:transferredTCF\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n",
        "no audio stream",
    ),
    (
        "fax beside audio that is switched off",
        "v=0\r\no=- 1 2 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 0 RTP/AVP 8\r\nm=image 4512 udptl t38\r\n",
        "8 PCMA - - inactive",
    ),
    (
        "browser",
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
         a=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n",
        "transport UDP/TLS/RTP/SAVPF is not supported",
    ),
    (
        "phone that insists on SRTP",
        "v=0\r\no=- 5 5 IN IP4 192.168.1.29\r\ns=-\r\nc=IN IP4 192.168.1.29\r\nt=0 0\r\nm=audio 11800 RTP/SAVP 8 0\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:VGhpcyBpcyBub3QgYSByZWFsIGtleSBhdCBhbGwh\r\n",
        "transport RTP/SAVP is not supported",
    ),
    (
        "load generator",
        "v=0\r\no=user1 53655765 2353687637 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n",
        "0 PCMU - 127.0.0.1:6000 sendrecv",
    ),
    (
        "old gateway: bare LF, host name in o=, letters in its session id, no s= and t=",
        "v=0\no=gw abcdef 0x1 IN IP4 gw.example.com\nc=IN IP4 198.51.100.40\nm=audio 19000 RTP/AVP 18 8 \na=rtpmap:18 G729/8000\na=fmtp:18 annexb=yes\n",
        "8 PCMA - 198.51.100.40:19000 sendrecv",
    ),
    (
        "old adapter: events without a map are not offered",
        "v=0\r\no=5551000 1 1 IN IP4 198.51.100.41\r\ns=-\r\nc=IN IP4 198.51.100.41\r\nt=0 0\r\nm=audio 8000 RTP/AVP 0 101\r\n",
        "0 PCMU - 198.51.100.41:8000 sendrecv",
    ),
    (
        "dual-stack trunk: session over IPv6, stream over IPv4, alternative addresses",
        "v=0\r\no=- 9 9 IN IP6 2001:db8::9\r\ns=-\r\nc=IN IP6 2001:db8::9\r\nt=0 0\r\na=cap-neg:1\r\n\
         m=audio 12000 RTP/AVP 0 8\r\nc=IN IP4 198.51.100.42\r\na=altc:1 IP4 198.51.100.42 12000\r\na=altc:2 IP6 2001:db8::9 12000\r\n",
        "0 PCMU - 198.51.100.42:12000 sendrecv",
    ),
    (
        "trunk with dynamic numbers for G.711",
        "v=0\r\no=- 10 10 IN IP4 198.51.100.43\r\ns=-\r\nc=IN IP4 198.51.100.43\r\nt=0 0\r\nm=audio 12002 RTP/AVP 107 108 96\r\n\
         a=rtpmap:107 PCMA/8000\r\na=rtpmap:108 PCMU/8000\r\na=rtpmap:96 telephone-event/8000\r\n",
        "107 PCMA 96 198.51.100.43:12002 sendrecv",
    ),
    (
        "gateway with G.729 only",
        "v=0\r\no=- 11 11 IN IP4 198.51.100.44\r\ns=-\r\nc=IN IP4 198.51.100.44\r\nt=0 0\r\nm=audio 12004 RTP/AVP 18 101\r\na=rtpmap:18 G729/8000\r\na=rtpmap:101 telephone-event/8000\r\n",
        "no common codec, peer has G729/8000 telephone-event/8000",
    ),
];
