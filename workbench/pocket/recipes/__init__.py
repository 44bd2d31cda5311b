"""One recipe a file: ``train()`` trains the model, saves it under data/pocket/ and returns its history."""
