"""One recipe a file: ``train(target)`` trains a model, saves it and returns its history."""
