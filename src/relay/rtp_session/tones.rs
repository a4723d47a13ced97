//! Digits to a caller whose leg has no telephone events: tones in the audio (ITU-T Q.23), queued like speech.

use std::time::Duration;

use audio::dtmf;
use model::audio::SampleRate;
use rtp::DtmfError;

/// The digits as PCM, `each` as long, with pauses between and after; or why none of them is sent, as of telephone events.
pub fn pcm(digits: &str, each: Duration, rate: SampleRate) -> Result<Vec<i16>, DtmfError> {
    if !(SHORTEST..=LONGEST).contains(&each) {
        return Err(DtmfError::InvalidDuration(each));
    }
    if digits.chars().count() > MAX_DIGITS || each * digits.chars().count() as u32 > MAX_LENGTH {
        return Err(DtmfError::TooMany { limit: MAX_DIGITS });
    }
    let pause = PAUSE_FRAMES * rate.frame_samples();
    let mut pcm = Vec::new();
    for digit in digits.chars() {
        pcm.extend(dtmf::tone(digit, rate, each).ok_or(DtmfError::InvalidDigit(digit))?);
        pcm.resize(pcm.len() + pause, 0);
    }
    Ok(pcm)
}

/// What receivers need (ITU-T Q.24).
const SHORTEST: Duration = Duration::from_millis(40);
const LONGEST: Duration = Duration::from_secs(8);
/// Between two digits: 60 ms.
const PAUSE_FRAMES: usize = 3;
const MAX_DIGITS: usize = 256;
/// All tones of one order together.
const MAX_LENGTH: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use audio::dtmf::DtmfDetector;

    use super::*;

    const EACH: Duration = Duration::from_millis(100);

    #[test]
    fn digits_are_heard_as_they_were_asked_for() {
        let (mut detector, mut heard) = (DtmfDetector::default(), Vec::new());
        let pcm = pcm("12#5", EACH, SampleRate::Hz8000).unwrap();
        assert_eq!(pcm.len(), 4 * 1280);
        detector.process(&pcm, &mut heard);
        assert_eq!(heard.iter().map(|press| press.digit).collect::<String>(), "12#5");
    }

    #[test]
    fn what_cannot_be_sent_is_refused_whole() {
        let refused =
            |digits: &str, ms| pcm(digits, Duration::from_millis(ms), SampleRate::Hz16000).unwrap_err();
        assert_eq!(refused("1x", 100), DtmfError::InvalidDigit('x'));
        assert_eq!(refused("1", 39), DtmfError::InvalidDuration(Duration::from_millis(39)));
        assert_eq!(refused(&"1".repeat(257), 40), DtmfError::TooMany { limit: 256 });
        assert_eq!(refused("123456789", 8000), DtmfError::TooMany { limit: 256 });
    }
}
