//! Makes metrics and registers them, so that what is counted and what is shown cannot differ.

use std::{array, sync::atomic::AtomicU64};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Label names and their values, all from fixed sets: nothing that a peer chose may become one.
pub type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Where new metrics are put.
pub struct Shelf<'a>(pub &'a mut Registry);

impl Shelf<'_> {
    pub fn counter(&mut self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.0.register(name, help, counter.clone());
        counter
    }

    /// One counter for each value of a label, each there from the start.
    pub fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: [&'static str; N],
    ) -> [Counter; N] {
        let family = self.counter_family(name, help);
        values.map(|value| family.get_or_create_owned(&[(label, value)]))
    }

    /// Counters that appear with their first use, for what happens once a call or less often: each use is a look-up.
    pub fn counter_family<const N: usize>(&mut self, name: &str, help: &str) -> Family<Labels<N>, Counter> {
        let family = Family::default();
        self.0.register(name, help, family.clone());
        family
    }

    /// The same by SIP or HTTP status. Only for statuses of our own.
    pub fn by_status(&mut self, name: &str, help: &str) -> Family<[(&'static str, u16); 1], Counter> {
        let family = Family::default();
        self.0.register(name, help, family.clone());
        family
    }

    pub fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.0.register(name, help, gauge.clone());
        gauge
    }

    /// Gauges that appear with their first use.
    pub fn gauge_family<const N: usize>(&mut self, name: &str, help: &str) -> Family<Labels<N>, Gauge> {
        let family = Family::default();
        self.0.register(name, help, family.clone());
        family
    }

    /// One gauge for each pair of values of two labels.
    pub fn gauges<const N: usize, const M: usize>(
        &mut self,
        name: &str,
        help: &str,
        (outer, outer_values): (&'static str, [&'static str; N]),
        (inner, inner_values): (&'static str, [&'static str; M]),
    ) -> [[Gauge; M]; N] {
        let family = Family::<Labels<2>, Gauge>::default();
        self.0.register(name, help, family.clone());
        array::from_fn(|n| {
            inner_values.map(|value| family.get_or_create_owned(&[(outer, outer_values[n]), (inner, value)]))
        })
    }

    /// A gauge in seconds; the name gets the unit at its end.
    pub fn seconds(&mut self, name: &str, help: &str) -> Gauge<f64, AtomicU64> {
        let gauge = Gauge::default();
        self.0.register_with_unit(name, help, Unit::Seconds, gauge.clone());
        gauge
    }

    /// A histogram of seconds; the name gets the unit at its end.
    pub fn histogram(&mut self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let histogram = Histogram::new(buckets.iter().copied());
        self.0.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        histogram
    }

    /// A histogram of seconds for each value of a label.
    pub fn histograms<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        (label, values): (&'static str, [&'static str; N]),
        buckets: &'static [f64],
    ) -> [Histogram; N] {
        let make: fn(&'static [f64]) -> Histogram = |buckets| Histogram::new(buckets.iter().copied());
        let family = Family::<Labels<1>, Histogram, _>::new_with_constructor(move || make(buckets));
        self.0.register_with_unit(name, help, Unit::Seconds, family.clone());
        values.map(|value| family.get_or_create_owned(&[(label, value)]))
    }
}

/// Something that a gauge counts while it exists.
#[derive(Debug)]
pub struct Present(Gauge);

impl Present {
    /// One more, until this is dropped.
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.dec();
    }
}
