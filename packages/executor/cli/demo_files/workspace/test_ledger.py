import unittest

import ledger


class InvoiceTest(unittest.TestCase):
    def test_a_line_costs_quantity_times_price(self):
        self.assertEqual(ledger.line_total(3, 250), 750)

    def test_an_invoice_is_the_sum_of_its_lines(self):
        self.assertEqual(ledger.invoice_total([(1, 100), (2, 50)]), 200)


if __name__ == "__main__":
    unittest.main()
