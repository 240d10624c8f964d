"""Pictures with known defects: by them the findings floating, scale, indistinct and hallucination are judged."""
