"""Small trained models that the project ships."""
