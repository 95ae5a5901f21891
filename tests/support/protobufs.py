"""Protocol buffer classes from a short schema."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def messages(schema):
    """Message classes by name, from a schema {message: {field: "number type"}}.

    A type ends in "*" if the field is repeated, in "+" if it is also packed.
    """
    file = descriptor_pb2.FileDescriptorProto(name="net.proto", package="net", syntax="proto2")
    for message, fields in schema.items():
        descriptor = file.message_type.add(name=message)
        for name, text in fields.items():
            number, kind = text.split()
            plain = kind.rstrip("*+")
            field = descriptor.field.add(name=name, number=int(number))
            field.label = field.LABEL_OPTIONAL if plain == kind else field.LABEL_REPEATED
            field.options.packed = kind.endswith("+")
            if plain in schema:
                field.type, field.type_name = field.TYPE_MESSAGE, f".net.{plain}"
            else:
                field.type = getattr(field, f"TYPE_{plain.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptors = (pool.FindMessageTypeByName(f"net.{name}") for name in schema)
    return {message.name: message_factory.GetMessageClass(message) for message in descriptors}


def field(number, content):
    """A field of bytes on the wire, for what the library would write in a shorter way."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value):
    """An integer in groups of seven bits, the lowest first."""
    groups = [value >> shift & 127 for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])
