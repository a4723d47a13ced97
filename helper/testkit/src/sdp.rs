//! Session descriptions (RFC 8866) of one audio stream: written by template, read by line.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// A description of one audio stream: `formats` are payload types in order of preference, 101 being telephone-event.
///
/// `ptime:20` and `sendrecv`. A test that wants another line edits the text.
pub fn audio(at: SocketAddr, formats: &[u8]) -> String {
    let family = if at.is_ipv4() { "IP4" } else { "IP6" };
    let (ip, port) = (at.ip(), at.port());
    let list: String = formats.iter().fold(String::new(), |list, f| list + " " + &f.to_string());
    let mut sdp = format!(
        "v=0\r\no=testkit 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP{list}\r\n"
    );
    for format in formats {
        let map = match format {
            0 => "PCMU/8000",
            8 => "PCMA/8000",
            9 => "G722/8000",
            18 => "G729/8000",
            101 => "telephone-event/8000",
            _ => continue,
        };
        let _ = write!(sdp, "a=rtpmap:{format} {map}\r\n");
    }
    if formats.contains(&101) {
        sdp.push_str("a=fmtp:101 0-16\r\n");
    }
    sdp + "a=ptime:20\r\na=sendrecv\r\n"
}

/// Where the first audio stream is received: its port with its own or the session's address.
pub fn media_address(sdp: &str) -> Option<SocketAddr> {
    let port = media_line(sdp)?.split(' ').nth(1)?.parse().ok()?;
    let own = in_media(sdp).find_map(|l| l.strip_prefix("c="));
    let address = own.or_else(|| sdp.lines().find_map(|l| l.strip_prefix("c=")))?;
    let ip: IpAddr = address.split(' ').nth(2)?.split('/').next()?.trim().parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

/// Payload types of the first audio stream, in order.
pub fn formats(sdp: &str) -> Vec<u8> {
    media_line(sdp)
        .map(|m| m.split(' ').skip(3).filter_map(|f| f.trim().parse().ok()).collect())
        .unwrap_or_default()
}

/// Value of an attribute of the first audio stream or, failing that, of the session: `""` for one without a value.
pub fn attribute<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| {
        let (key, value) = line.strip_prefix("a=")?.split_once(':').unwrap_or((line.get(2..)?, ""));
        (key == name).then_some(value)
    };
    in_media(sdp).find_map(value).or_else(|| sdp.lines().take_while(|l| !l.starts_with("m=")).find_map(value))
}

fn media_line(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|l| l.strip_prefix("m=").filter(|m| m.starts_with("audio ")))
}

fn in_media(sdp: &str) -> impl Iterator<Item = &str> {
    sdp.lines().skip_while(|l| !l.starts_with("m=audio ")).skip(1).take_while(|l| !l.starts_with("m="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_offer_has_every_line() {
        let sdp = audio("127.0.0.1:4000".parse().unwrap(), &[0, 8, 101]);
        assert_eq!(
            sdp,
            "v=0\r\no=testkit 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8 101\r\n\
             a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
             a=ptime:20\r\na=sendrecv\r\n"
        );
        assert_eq!(media_address(&sdp), Some("127.0.0.1:4000".parse().unwrap()));
        assert_eq!(formats(&sdp), [0, 8, 101]);
        assert_eq!(attribute(&sdp, "ptime"), Some("20"));
        assert_eq!(attribute(&sdp, "sendrecv"), Some(""));
        assert_eq!(attribute(&sdp, "maxptime"), None);
    }

    #[test]
    fn the_streams_own_lines_win_over_the_sessions() {
        let sdp = "v=0\r\nc=IN IP4 10.0.0.1\r\na=inactive\r\na=ptime:30\r\nm=video 9 RTP/AVP 96\r\na=ptime:40\r\n\
                   m=audio 6 RTP/AVP 8\r\nc=IN IP6 ::1\r\na=ptime:20\r\n";
        assert_eq!(media_address(sdp), Some("[::1]:6".parse().unwrap()));
        assert_eq!(attribute(sdp, "ptime"), Some("20"));
        assert_eq!(attribute(sdp, "inactive"), Some(""));
        assert_eq!(formats(sdp), [8]);
    }
}
