//! The constants of ITU-T G.722: quantiser levels, step-size logarithms, filter taps.

/// Taps 22, 20 .. 0 of the symmetric 24-tap filter, for the newer sample of each pair, the oldest pair first.
pub(super) const QMF_EVEN: [i32; 12] = [-11, 53, -156, 362, -805, 3876, 951, -210, 32, 12, -11, 3];
/// Taps 23, 21 .. 1, for the older sample of each pair.
pub(super) const QMF_ODD: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// Decision levels of the 60-level quantiser of the lower band (table 14), up to each of which a magnitude belongs to
/// the interval of the same number.
pub(super) const LOW_LEVELS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219,
    1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];

/// Decision level between the two magnitudes of the upper band (table 14).
pub(super) const HIGH_LEVEL: i32 = 564;

/// Output levels of the six-bit lower-band code (table 16), which the decoder hears.
pub(super) const LOW_OUTPUT_6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360,
    -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688,
    -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856,
    7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136,
    -432, -136,
];

/// Output levels of the four leading bits of the lower-band code (table 16), which drive both predictors.
pub(super) const LOW_OUTPUT_4: [i32; 16] =
    [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0];

/// Output levels of the two-bit upper-band code (table 16).
pub(super) const HIGH_OUTPUT: [i32; 4] = [-7408, -1616, 7408, 1616];

/// Change of the step-size logarithm for the four leading bits of the lower-band code (table 17).
pub(super) const LOW_LOG_STEP: [i32; 16] =
    [-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60];

/// Change of the step-size logarithm for the two-bit upper-band code (table 17).
pub(super) const HIGH_LOG_STEP: [i32; 4] = [798, -214, 798, -214];

/// Powers of two in 32 steps to the octave, from the step-size logarithm to the step size (table 18).
pub(super) const OCTAVE: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896,
    2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
