//! What may change in a contract that has peers: additions, and removals that reserve what they leave behind.

use std::collections::BTreeMap;

use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
};

/// The files of the contract itself, without those that it imports from elsewhere.
pub(crate) fn contract(set: &FileDescriptorSet) -> impl Iterator<Item = &FileDescriptorProto> {
    set.file.iter().filter(|file| file.package().starts_with("weir."))
}

/// What in `new` a peer built from `old` would stumble over; one sentence each.
pub(crate) fn breaking(old: &FileDescriptorSet, new: &FileDescriptorSet) -> Vec<String> {
    let (old, new) = (Index::of(old), Index::of(new));
    let mut found = Vec::new();
    for (name, before) in &old.messages {
        match new.messages.get(name) {
            Some(after) => message(name, before, after, &mut found),
            None => found.push(format!("message {name} is gone")),
        }
    }
    for (name, before) in &old.enums {
        match new.enums.get(name) {
            Some(after) => enumeration(name, before, after, &mut found),
            None => found.push(format!("enum {name} is gone")),
        }
    }
    for (name, before) in &old.methods {
        match new.methods.get(name) {
            Some(after) if shape(before) != shape(after) => {
                found.push(format!("rpc {name} changed from {} to {}", shape(before), shape(after)));
            }
            Some(_) => {}
            None => found.push(format!("rpc {name} is gone")),
        }
    }
    found
}

fn message(name: &str, before: &DescriptorProto, after: &DescriptorProto, found: &mut Vec<String>) {
    let reserved = |number| after.reserved_range.iter().any(|r| (r.start()..r.end()).contains(&number));
    for old in &before.field {
        let place = format!("{name}.{} = {}", old.name(), old.number());
        match after.field.iter().find(|f| f.number() == old.number()) {
            Some(new) if field(old, before) != field(new, after) => found.push(format!(
                "{place} changed from `{}` to `{}`",
                field(old, before),
                field(new, after)
            )),
            Some(_) => {}
            None if reserved(old.number()) && after.reserved_name.iter().any(|n| n == old.name()) => {}
            None => found.push(format!("{place} is gone; reserve its number and its name")),
        }
    }
    let mut promised = before.reserved_range.iter().flat_map(|r| r.start()..r.end());
    if let Some(number) = promised.find(|number| !reserved(*number)) {
        found.push(format!("{name}: the number {number} was reserved and no longer is"));
    }
    names_stay_reserved(name, &before.reserved_name, &after.reserved_name, found);
}

fn enumeration(
    name: &str,
    before: &EnumDescriptorProto,
    after: &EnumDescriptorProto,
    found: &mut Vec<String>,
) {
    // Unlike a message's, an enum's ranges include their end.
    let reserved = |number| after.reserved_range.iter().any(|r| (r.start()..=r.end()).contains(&number));
    for old in &before.value {
        let place = format!("{name}.{} = {}", old.name(), old.number());
        match after.value.iter().find(|v| v.number() == old.number()).map(EnumValueDescriptorProto::name) {
            Some(new) if new != old.name() => found.push(format!("{place} changed its name to {new}")),
            Some(_) => {}
            None if reserved(old.number()) && after.reserved_name.iter().any(|n| n == old.name()) => {}
            None => found.push(format!("{place} is gone; reserve its number and its name")),
        }
    }
    let mut promised = before.reserved_range.iter().flat_map(|r| r.start()..=r.end());
    if let Some(number) = promised.find(|number| !reserved(*number)) {
        found.push(format!("{name}: the number {number} was reserved and no longer is"));
    }
    names_stay_reserved(name, &before.reserved_name, &after.reserved_name, found);
}

fn names_stay_reserved(place: &str, before: &[String], after: &[String], found: &mut Vec<String>) {
    for name in before.iter().filter(|name| !after.contains(name)) {
        found.push(format!("{place}: the name {name} was reserved and no longer is"));
    }
}

/// Everything about a field that both ends must see alike.
fn field(field: &FieldDescriptorProto, message: &DescriptorProto) -> String {
    let oneof = match field.oneof_index {
        Some(_) if field.proto3_optional() => " optional".to_owned(),
        Some(index) => {
            let oneof = usize::try_from(index).ok().and_then(|index| message.oneof_decl.get(index));
            format!(" in oneof {}", oneof.map_or("?", |oneof| oneof.name()))
        }
        None => String::new(),
    };
    let kind = field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase();
    let label = field.label().as_str_name().trim_start_matches("LABEL_").to_lowercase();
    format!("{label} {kind} {} {}{oneof}", field.type_name(), field.name())
}

fn shape(method: &MethodDescriptorProto) -> String {
    let stream = |streaming| if streaming { "stream " } else { "" };
    format!(
        "({}{}) returns ({}{})",
        stream(method.client_streaming()),
        method.input_type(),
        stream(method.server_streaming()),
        method.output_type()
    )
}

/// Everything by its full name.
#[derive(Default)]
struct Index<'a> {
    messages: BTreeMap<String, &'a DescriptorProto>,
    enums: BTreeMap<String, &'a EnumDescriptorProto>,
    methods: BTreeMap<String, &'a MethodDescriptorProto>,
}

impl<'a> Index<'a> {
    fn of(set: &'a FileDescriptorSet) -> Self {
        let mut index = Self::default();
        for file in contract(set) {
            let package = file.package();
            index.enums.extend(file.enum_type.iter().map(|e| (format!("{package}.{}", e.name()), e)));
            for message in &file.message_type {
                index.add(package, message);
            }
            for service in &file.service {
                let methods = service.method.iter();
                index
                    .methods
                    .extend(methods.map(|m| (format!("{package}.{}/{}", service.name(), m.name()), m)));
            }
        }
        index
    }

    fn add(&mut self, scope: &str, message: &'a DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        self.enums.extend(message.enum_type.iter().map(|e| (format!("{name}.{}", e.name()), e)));
        for nested in &message.nested_type {
            self.add(&name, nested);
        }
        self.messages.insert(name, message);
    }
}

#[cfg(test)]
mod tests;
