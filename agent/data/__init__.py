"""What questions are about: people's files, the sample and the text that was handed over."""
