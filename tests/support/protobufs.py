"""Classes of protocol buffers out of a short schema."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def messages(schema):
    """The classes of {message: {field: "number type"}}, by their names.

    The type ends in "*" where a field is repeated, in "+" where it is packed, too.
    """
    file = descriptor_pb2.FileDescriptorProto(name="net.proto", package="net", syntax="proto2")
    for message, fields in schema.items():
        described = file.message_type.add(name=message)
        for name, text in fields.items():
            number, kind = text.split()
            plain = kind.rstrip("*+")
            field = described.field.add(name=name, number=int(number))
            field.label = field.LABEL_OPTIONAL if plain == kind else field.LABEL_REPEATED
            field.options.packed = kind.endswith("+")
            if plain in schema:
                field.type, field.type_name = field.TYPE_MESSAGE, f".net.{plain}"
            else:
                field.type = getattr(field, f"TYPE_{plain.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = (pool.FindMessageTypeByName(f"net.{name}") for name in schema)
    return {message.name: message_factory.GetMessageClass(message) for message in found}
