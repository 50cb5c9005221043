"""From a model to what is deployed: chains of compilers, what they made, whether it is right."""
