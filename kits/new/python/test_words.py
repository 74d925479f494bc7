import unittest

from words import count


class Words(unittest.TestCase):
    def test_blanks_of_any_kind_part_words(self):
        self.assertEqual(count(" one\ttwo  three "), 3)

    def test_an_empty_line_has_none(self):
        self.assertEqual(count(""), 0)


if __name__ == "__main__":
    unittest.main()
