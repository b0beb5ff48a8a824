"""The check of a data set before it is trained on: `rpn data check`. No torch here."""
