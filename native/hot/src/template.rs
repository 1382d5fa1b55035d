//! A request with holes: what never changes is written once, at the start.

use crate::text::Text;

/// What is written per order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    Price,
    Size,
    /// The order's id.
    Id,
    /// The id of the order that it replaces.
    Replaced,
    /// Milliseconds since 1970.
    Time,
}

/// The texts for the slots.
#[derive(Debug, Default, Clone, Copy)]
pub struct Values {
    pub price: Text<48>,
    pub size: Text<48>,
    pub time: Text<48>,
    pub id: Text<36>,
    pub replaced: Text<36>,
}

impl Values {
    fn get(&self, slot: Slot) -> &[u8] {
        match slot {
            Slot::Price => self.price.as_bytes(),
            Slot::Size => self.size.as_bytes(),
            Slot::Time => self.time.as_bytes(),
            Slot::Id => self.id.as_bytes(),
            Slot::Replaced => self.replaced.as_bytes(),
        }
    }
}

/// Literals, each followed by a slot, and a literal at the end.
#[derive(Debug, Default, Clone)]
pub struct Template {
    text: Vec<u8>,
    /// Where in `text` each slot stands.
    slots: Vec<(usize, Slot)>,
}

impl Template {
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.text.extend(text.as_bytes());
        self
    }

    #[must_use]
    pub fn slot(mut self, slot: Slot) -> Self {
        self.slots.push((self.text.len(), slot));
        self
    }

    /// Returns what stands before the first slot: the same in every request.
    pub fn prefix(&self) -> &[u8] {
        &self.text[..self.slots.first().map_or(self.text.len(), |(at, _)| *at)]
    }

    pub fn write(&self, values: &Values, out: &mut Vec<u8>) {
        let mut from = 0;
        for (at, slot) in &self.slots {
            out.extend_from_slice(&self.text[from..*at]);
            out.extend_from_slice(values.get(*slot));
            from = *at;
        }
        out.extend_from_slice(&self.text[from..]);
    }
}

/// A parameter's value in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Fixed(String),
    /// A number that JSON writes without quotation marks.
    Number(String),
    Slot(Slot),
}

/// Writes parameters as a query string: `a=1&b=2`.
pub fn query(params: &[(&str, Value)]) -> Template {
    let mut template = Template::default();
    for (at, (name, value)) in params.iter().enumerate() {
        template = template.text(if at == 0 { "" } else { "&" }).text(name).text("=");
        template = match value {
            Value::Fixed(text) | Value::Number(text) => template.text(text),
            Value::Slot(slot) => template.slot(*slot),
        };
    }
    template
}

/// Appends parameters as members of a JSON object, with a comma between them.
pub fn members(mut template: Template, params: &[(&str, Value)]) -> Template {
    for (at, (name, value)) in params.iter().enumerate() {
        template = template.text(if at == 0 { "\"" } else { ",\"" }).text(name).text("\":");
        template = match value {
            Value::Fixed(text) => template.text("\"").text(text).text("\""),
            Value::Number(text) => template.text(text),
            Value::Slot(Slot::Time) => template.slot(Slot::Time),
            Value::Slot(slot) => template.text("\"").slot(*slot).text("\""),
        };
    }
    template
}
