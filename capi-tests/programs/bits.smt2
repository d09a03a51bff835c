; Bit vectors: two factors of a product, and the primality of another number.
(set-logic QF_BV)
(declare-const p (_ BitVec 40))
(declare-const q (_ BitVec 40))
(define-fun small ((x (_ BitVec 40))) Bool (and (bvugt x #x0000000001) (bvult x #x0000010000)))
(assert (and (small p) (small q) (bvule p q)))
(push)
; 65497 * 65521
(assert (= (bvmul p q) (_ bv4291428937 40)))
(check-sat)
(get-value (p q))
(pop)
(push)
; A prime.
(assert (and (bvult q #x0000000400) (= (bvmul p q) (_ bv65537 40))))
(check-sat)
(pop)
