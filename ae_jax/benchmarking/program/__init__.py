"""What a compiled program does: operations, bytes, exchanges between devices, FLOPs."""
