"""Finding a person in a picture: the MediaPipe pose model, in processes of its own."""
