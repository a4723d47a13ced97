//! `LineLayer` turns an event and the spans around it into one line and hands it to the writers.

use std::{sync::Arc, time::Instant};

use jiff::Zoned;
use tracing::{Event, Level, Metadata, Subscriber, span};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{
    line::{self, Fields},
    pii,
    throttle::Throttle,
    writer::Writer,
};

/// The fields of a span, ready to be appended to a line.
struct SpanFields(String);

pub(super) struct LineLayer {
    writers: Vec<Writer>,
    mask: bool,
    throttle: Throttle,
}

impl LineLayer {
    pub(super) fn new(writers: Vec<Writer>, mask: bool) -> Self {
        Self { writers, mask, throttle: Throttle::default() }
    }

    fn write(&self, metadata: &Metadata<'_>, message: &str) {
        let path = metadata.file().unwrap_or(metadata.target());
        let number = metadata.line().unwrap_or(0);
        let line: Arc<str> =
            line::format_line(&Zoned::now(), *metadata.level(), message, path, number).into();
        for writer in &self.writers {
            writer.send(line.clone());
        }
    }

    /// Whether a line of this level may show personal data.
    fn shows(&self, level: Level) -> bool {
        !self.mask || level == Level::TRACE
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LineLayer {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        // A span's fields end up on lines of every level, so its own level shows nothing.
        pii::with_shown(!self.mask, || attributes.record(&mut fields));
        span.extensions_mut().insert(SpanFields(fields.rest));
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        pii::with_shown(!self.mask, || values.record(&mut fields));
        if let Some(SpanFields(text)) = span.extensions_mut().get_mut() {
            text.push_str(&fields.rest);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let Some(withheld) = self.throttle.admit(metadata, Instant::now()) else { return };
        if withheld > 0 {
            self.write(metadata, &format!("too many lines like the next one, not logged={withheld}"));
        }
        let mut fields = Fields::default();
        pii::with_shown(self.shows(*metadata.level()), || event.record(&mut fields));
        let mut message = fields.message;
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(SpanFields(text)) = span.extensions().get() {
                message.push_str(text);
            }
        }
        message.push_str(&fields.rest);
        self.write(metadata, &message);
    }
}
