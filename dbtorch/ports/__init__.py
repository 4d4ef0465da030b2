"""What the use cases need from the outside: one Protocol per need, one module per thing."""
