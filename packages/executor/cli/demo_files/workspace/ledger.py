"""Invoices in whole cents."""


def line_total(quantity, unit_cents):
    return quantity * unit_cents


def invoice_total(lines):
    return sum(line_total(quantity, unit_cents) for quantity, unit_cents in lines)
