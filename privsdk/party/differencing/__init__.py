"""The differencing guard: exact answers that together would tell a sum over few units are not let out.

Rule. Every exact answer is a sum over a set of rows. With U the span of the sets that were let out before, of the whole
table and whoever asked, a new set is let out only if no linear combination of it and of sets in U that needs it has
rows of 1 to k - 1 units. So no addition and subtraction of exact figures, of however many answers, yields a sum over so
few. Two sets that differ by few rows are the simplest such combination.

How. Rows that no set tells apart form a class, and a combination is constant on a class. One that has rows of fewer
than k units vanishes on every class of k units or more, the large ones. Mostly the sets are linearly independent on
those alone; then at most one combination is left, and it is weighed (`span`). Where several are left, the lightest is
looked for (`search`): in general that is as hard as finding the minimum distance of a linear code (Vardy, IEEE IT
1997), so the search is bounded, and beyond the bound the answer is refused.

Arithmetic is modulo a random prime p of 31 bits, and errs on the safe side. Sets that are independent modulo p are
independent. A combination over the rationals, its coefficients made whole and coprime, does not vanish modulo p, where
sets are independent modulo p, and has rows of no more units there. That a set depends on others is believed only after
its coefficients, made rational again, were checked in whole numbers on every class.

Source: tracker attacks, Denning, Denning, Schwartz, ACM TODS 1979; audits of sums by linear algebra, Chin, Ozsoyoglu,
IEEE TSE 1982; matroids and light vectors, Oxley, Matroid Theory, chapter 1.
"""
