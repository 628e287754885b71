//! Each way to break a peer is noticed, each addition is allowed.

use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, OneofDescriptorProto,
    ServiceDescriptorProto,
    descriptor_proto::ReservedRange,
    enum_descriptor_proto::EnumReservedRange,
    field_descriptor_proto::{Label, Type},
};

use super::breaking;

/// `change` makes a contract that refuses with a sentence that holds `expected`; empty: that is fine.
fn check(expected: &str, change: impl FnOnce(&mut FileDescriptorProto)) {
    let old = contract();
    let mut new = contract();
    change(&mut new.file[0]);
    let found = breaking(&old, &new);
    if expected.is_empty() {
        assert_eq!(found, Vec::<String>::new());
    } else {
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }
}

#[test]
fn additions_are_allowed() {
    check("", |_| {});
    check("", |file| file.message_type[0].field.push(field("zone", 3, Type::String)));
    check("", |file| file.message_type.push(DescriptorProto::default()));
    check("", |file| file.enum_type[0].value.push(value("NEW", 2)));
    check("", |file| file.service[0].method.push(MethodDescriptorProto::default()));
    check("", |file| file.package = Some("weir.v1".to_owned()));
}

#[test]
fn a_field_is_never_removed_without_a_reservation() {
    check("weir.v1.Backend.address = 1 is gone", |file| drop(file.message_type[0].field.remove(0)));
    check("weir.v1.Backend.address = 1 is gone", |file| {
        file.message_type[0].field.remove(0);
        file.message_type[0].reserved_name.push("address".to_owned());
    });
    check("", |file| {
        file.message_type[0].field.remove(0);
        file.message_type[0].reserved_name.push("address".to_owned());
        file.message_type[0].reserved_range.push(range(1));
    });
}

#[test]
fn a_field_keeps_its_number_name_type_label_and_oneof() {
    check("is gone", |file| file.message_type[0].field[0].number = Some(7));
    check("changed from", |file| file.message_type[0].field[0].name = Some("addr".to_owned()));
    check("changed from", |file| file.message_type[0].field[0].set_type(Type::Bytes));
    check("changed from", |file| file.message_type[0].field[0].set_label(Label::Repeated));
    check("changed from", |file| file.message_type[0].field[0].oneof_index = Some(0));
    check("changed from", |file| file.message_type[0].field[1].type_name = Some(".weir.v1.Other".to_owned()));
}

#[test]
fn a_reservation_is_for_ever() {
    check("the number 9 was reserved", |file| file.message_type[0].reserved_range.clear());
    check("the name old was reserved", |file| file.message_type[0].reserved_name.clear());
    check("the number 9 was reserved", |file| file.enum_type[0].reserved_range.clear());
}

#[test]
fn an_enum_keeps_its_values() {
    check("LIVE = 1 is gone", |file| drop(file.enum_type[0].value.remove(1)));
    check("changed its name", |file| file.enum_type[0].value[1].name = Some("ALIVE".to_owned()));
    check("", |file| {
        file.enum_type[0].value.remove(1);
        file.enum_type[0].reserved_name.push("LIVE".to_owned());
        file.enum_type[0].reserved_range.push(EnumReservedRange { start: Some(1), end: Some(1) });
    });
    check("enum weir.v1.State is gone", |file| file.enum_type.clear());
}

#[test]
fn an_rpc_keeps_its_shape() {
    check("rpc weir.v1.Registry/Register is gone", |file| file.service[0].method.clear());
    check("stream", |file| file.service[0].method[0].server_streaming = Some(true));
    check("Other", |file| file.service[0].method[0].input_type = Some(".weir.v1.Other".to_owned()));
}

#[test]
fn a_nested_message_counts_too() {
    check("message weir.v1.Backend.Inner is gone", |file| file.message_type[0].nested_type.clear());
}

fn contract() -> FileDescriptorSet {
    let backend = DescriptorProto {
        name: Some("Backend".to_owned()),
        field: vec![field("address", 1, Type::String), field("state", 2, Type::Enum)],
        nested_type: vec![DescriptorProto { name: Some("Inner".to_owned()), ..DescriptorProto::default() }],
        oneof_decl: vec![OneofDescriptorProto { name: Some("target".to_owned()), options: None }],
        reserved_name: vec!["old".to_owned()],
        reserved_range: vec![range(9)],
        ..DescriptorProto::default()
    };
    let state = EnumDescriptorProto {
        name: Some("State".to_owned()),
        value: vec![value("UNSPECIFIED", 0), value("LIVE", 1)],
        reserved_range: vec![EnumReservedRange { start: Some(9), end: Some(9) }],
        ..EnumDescriptorProto::default()
    };
    let register = MethodDescriptorProto {
        name: Some("Register".to_owned()),
        input_type: Some(".weir.v1.Backend".to_owned()),
        output_type: Some(".weir.v1.Backend".to_owned()),
        ..MethodDescriptorProto::default()
    };
    let registry = ServiceDescriptorProto {
        name: Some("Registry".to_owned()),
        method: vec![register],
        ..ServiceDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("weir/v1/test.proto".to_owned()),
        package: Some("weir.v1".to_owned()),
        message_type: vec![backend],
        enum_type: vec![state],
        service: vec![registry],
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }
}

fn field(name: &str, number: i32, r#type: Type) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(r#type.into()),
        ..FieldDescriptorProto::default()
    }
}

fn value(name: &str, number: i32) -> EnumValueDescriptorProto {
    EnumValueDescriptorProto { name: Some(name.to_owned()), number: Some(number), options: None }
}

fn range(number: i32) -> ReservedRange {
    ReservedRange { start: Some(number), end: Some(number + 1) }
}
