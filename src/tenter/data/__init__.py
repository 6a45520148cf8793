"""What enters and leaves the program: volumes, points, transforms, prepared cases, batches."""
