//! Two sides of a call on one time line, until they are written side by side.
//!
//! In: stretches of either side with their positions. Out: interleaved samples, caller left, agent right; what did not come
//! in time is silence. Pure.

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Mixer {
    /// The first sample of both sides that was not taken yet.
    position: u64,
    caller: Vec<i16>,
    agent: Vec<i16>,
}

impl Mixer {
    /// Adds a stretch of the caller.
    pub fn caller(&mut self, at: u64, pcm: &[i16]) {
        put(&mut self.caller, self.position, at, pcm);
    }

    /// Adds a stretch of the agent.
    pub fn agent(&mut self, at: u64, pcm: &[i16]) {
        put(&mut self.agent, self.position, at, pcm);
    }

    /// Samples of the side of which more waits.
    pub fn waiting(&self) -> usize {
        self.caller.len().max(self.agent.len())
    }

    /// Takes up to `count` samples of each side, and where they begin.
    pub fn take(&mut self, count: usize) -> (u64, Vec<i16>) {
        let count = count.min(self.waiting());
        let side = |samples: &mut Vec<i16>| {
            samples.resize(samples.len().max(count), 0);
            samples.drain(..count).collect::<Vec<i16>>()
        };
        let (left, right) = (side(&mut self.caller), side(&mut self.agent));
        let position = self.position;
        self.position += count as u64;
        (position, left.into_iter().zip(right).flat_map(|(left, right)| [left, right]).collect())
    }
}

/// What was taken already, or is known already, is left out.
fn put(track: &mut Vec<i16>, position: u64, at: u64, pcm: &[i16]) {
    let end = position + track.len() as u64;
    if at > end {
        track.resize((at - position) as usize, 0);
    }
    let known = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
    track.extend_from_slice(pcm.get(known..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_late_or_twice_is_left_out() {
        let mut mixer = Mixer::default();
        mixer.agent(0, &[2; 4]);
        mixer.caller(1, &[1, 1]);
        assert_eq!(mixer.take(2), (0, vec![0, 2, 1, 2]));
        mixer.caller(0, &[7; 4]);
        assert_eq!(mixer.take(2), (2, vec![1, 2, 7, 2]), "the first three were there already");
        mixer.caller(0, &[7; 3]);
        assert_eq!(mixer.waiting(), 0);
    }

    #[test]
    fn side_without_audio_is_silent() {
        let mut mixer = Mixer::default();
        mixer.caller(2, &[1]);
        assert_eq!(mixer.take(9), (0, vec![0, 0, 0, 0, 1, 0]));
    }
}
