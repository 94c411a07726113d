"""What questions are about: the warehouse, people's files, the sample, long texts."""
