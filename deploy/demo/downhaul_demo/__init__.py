"""The demonstration: believable flags, and two small microservices (checkout, payments) that use the SDK."""
